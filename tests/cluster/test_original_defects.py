"""The defects of the program that this one replaces, and which tests would catch each of them here.

One waits for a feature to come: 12 needs peers that prove who they are.
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

CAUGHT_BY: dict[str, list[str]] = {
    "1: a rollover counts while appends go on, and readers skip what came after": [
        "cluster/test_rollover.py::test_pipelined_puts_of_one_connection_keep_their_order_across_rollovers",
        "cluster/test_rollover.py::test_every_record_is_got_once_while_the_lead_goes_round",
        "sim/test_sim_runs.py::test_the_shipped_node_passes_under_every_mixture_of_faults",
    ],
    "2: a rollover names no segment, so two proposals roll twice": [
        "cluster/test_rollover.py::test_a_hundred_puts_make_ten_full_segments_led_by_all_nodes_in_turn",
        "sim/test_sim_checkers.py::test_sealed_counts_fail_when_two_nodes_hold_different_counts",
        "sim/test_sim_runs.py::test_the_shipped_node_passes_under_every_mixture_of_faults",
    ],
    "3: counts and cursors live in memory only": [
        "cluster/test_restart.py::test_records_and_cursor_survive_two_restarts_of_all_nodes",
        "cluster/test_restart.py::test_a_killed_writers_segment_is_sealed_with_what_it_really_holds",
    ],
    "4: a lease has no expiry, so a cut-off leader goes on acknowledging": [
        "cluster/test_minority.py::test_a_minority_refuses_puts_and_everything_heals",
        "cluster/test_minority.py::test_a_paused_segment_leader_acknowledges_nothing_after_its_successor_began",
    ],
    "5: data lives on one node only": [
        "cluster/test_lost_and_damaged.py::test_the_loss_of_a_whole_disk_loses_no_record_and_stops_no_topic",
        "cluster/test_join.py::test_logs_born_on_node_1_alone_gets_three_copies_and_stays_in_segment_1",
        "cluster/test_kill.py::test_the_killed_nodes_copies_are_completed",
    ],
    "6: GET consumes before the reply leaves, and a corrupt entry reads as EMPTY for ever": [
        "cluster/test_lost_and_damaged.py::test_a_get_whose_client_is_gone_before_the_reply_takes_nothing",
        "cluster/test_lost_and_damaged.py::test_a_damaged_copy_is_never_read",
    ],
    "7: a second restart replays only what came after the first": [
        "cluster/test_restart.py::test_records_and_cursor_survive_two_restarts_of_all_nodes",
        "cluster/test_snapshots.py::test_all_nodes_start_from_their_snapshots_and_know_what_they_knew",
    ],
    "8: votes and log entries are acknowledged before they are on disk": [
        "raft/test_raft_election.py::test_5_2_a_vote_is_durable_before_it_is_answered",
        "raft/test_raft_replication.py::test_5_3_entries_are_durable_before_they_are_acknowledged",
        "sim/test_sim_runs.py::test_acknowledging_before_the_write_is_durable_is_found",
    ],
    "9: joining through a follower fails, and two joins at once drop a voter": [
        "cluster/test_join.py::test_a_fourth_node_joins_through_a_follower_and_gets_its_turn_as_leader",
        "cluster/test_join.py::test_two_nodes_join_at_once_and_no_voter_is_dropped",
    ],
    "10: one dead segment leader stalls GET for every topic": [
        "cluster/test_minority.py::test_one_dead_segment_leader_does_not_stall_reads_of_other_topics",
    ],
    "11: a failed append is tried again without knowing whether it was applied": [
        "cluster/test_kill.py::test_no_acknowledged_record_is_lost_when_a_node_is_killed",
        "cluster/test_minority.py::test_a_paused_segment_leader_acknowledges_nothing_after_its_successor_began",
        "sim/test_sim_runs.py::test_taking_a_repeated_request_twice_is_found",
    ],
    "12: fault switches are open to anyone": [
        "cluster/test_bad_input.py::test_every_malformed_request_gets_the_documented_error_in_its_place",
        "cluster/test_bad_input.py::test_random_frames_after_a_good_hello_are_dropped",
    ],
    "13: a topic whose leader is gone stays unwritable": [
        "cluster/test_kill.py::test_no_acknowledged_record_is_lost_when_a_node_is_killed",
        "cluster/test_members.py::test_a_dead_node_is_replaced_by_a_new_one_and_what_cannot_be_is_refused_with_a_reason",
    ],
    "14: a reply leaves in two pieces": [
        "io/test_io_clients.py::test_replies_of_one_turn_leave_in_one_piece_and_in_order",
        "io/test_io_clients.py::test_length_and_body_written_apart_arrive_without_a_delayed_acknowledgement",
    ],
}


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("defect", CAUGHT_BY)
def test_the_tests_against_a_defect_exist(defect: str) -> None:
    for test in CAUGHT_BY[defect]:
        file, _, name = test.partition("::")
        assert name in functions_of(TESTS / file), f"{test} is gone: which test catches defect {defect} now?"


def test_every_defect_is_listed() -> None:
    assert [int(defect.partition(":")[0]) for defect in CAUGHT_BY] == list(range(1, 15))
