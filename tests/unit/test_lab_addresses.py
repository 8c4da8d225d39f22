"""Labs never share an address, a bridge, a network or a control group, whatever their numbers."""

from ipaddress import ip_interface, ip_network
from itertools import pairwise

import pytest

from stella_pipelines.lab.addresses import HOSTS_MAX, LABS_MAX, LabAddresses

ALL = [LabAddresses(number) for number in range(LABS_MAX)]


def test_every_address_of_every_lab_is_loopback_and_its_own() -> None:
    addresses = [address for lab in ALL for address in lab.all]
    assert len(addresses) == LABS_MAX * (HOSTS_MAX + 1)
    assert len(set(addresses)) == len(addresses)
    assert all(ip_interface(address).is_loopback for address in addresses)


def test_bridge_names_are_unique_and_fit_into_the_kernel() -> None:
    names = [lab.bridge(index) for lab in ALL for index in range(HOSTS_MAX)]
    assert len(set(names)) == len(names)
    assert max(len(name) for name in names) <= 15


def test_no_two_container_networks_overlap() -> None:
    networks = [ip_interface(lab.bridge_address(index)).network for lab in ALL for index in range(HOSTS_MAX)]
    networks += [ip_network(lab.extra_networks(index)) for lab in ALL for index in range(HOSTS_MAX)]
    assert len(networks) == 2 * LABS_MAX * HOSTS_MAX
    ordered = sorted(networks)
    assert [(one, other) for one, other in pairwise(ordered) if one.overlaps(other)] == []
    assert all(network.subnet_of(ip_network("198.18.0.0/15")) for network in networks)


def test_no_control_group_is_inside_another() -> None:
    groups = [f"{lab.cgroup}/" for lab in ALL]
    assert [one for one in groups for other in groups if one != other and one.startswith(other)] == []


@pytest.mark.parametrize("number", [-1, LABS_MAX])
def test_a_number_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="lab numbers"):
        LabAddresses(number)


@pytest.mark.parametrize("index", [-1, HOSTS_MAX])
def test_a_host_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="hosts"):
        LabAddresses(0).host(index)
