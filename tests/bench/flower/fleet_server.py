#!/usr/bin/env python3
"""Flower's own FleetServicer with its own in-memory state behind its own gRPC server, one running run, one node, and
so many instructions that wait for replies. Prints one line of JSON when it serves; ends with its standard input."""
import json
import logging
import sys

from flwr.common import Message, RecordDict
from flwr.common.constant import NOOP_FLWR_AID, SUPERLINK_NODE_ID
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2_grpc import add_FleetServicer_to_server
from flwr.server.superlink.fleet.grpc_rere.fleet_servicer import FleetServicer
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NOOP_ACCOUNT_NAME, NOOP_FEDERATION_ID, TaskType
from flwr.supercore.grpc import generic_create_grpc_server
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.federation.noop_federation_manager import NoOpFederationManager



def main():
    logging.disable(logging.WARNING)  # a line a push would be Flower's cost, and nobody reads it here
    port, count, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    stores = ObjectStoreFactory()
    states = LinkStateFactory(FLWR_IN_MEMORY_DB_NAME, NoOpFederationManager(), stores)
    state = states.state()
    run = state.create_run("a/b", "1", "0" * 64, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP)
    task = state.run_ids[run].run.primary_task_id
    assert state.claim_task(task) and state.activate_task(task), "the run does not run"
    node = state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, b"a public key", 3600)
    assert state.activate_node(node, 3600), "the node is not active"
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = run, task, SUPERLINK_NODE_ID
    with open(out, "wb") as file:
        for _ in range(count):
            message = Message(RecordDict(), dst_node_id=node, message_type="train")
            message.metadata.__dict__["_message_id"] = message.object_id
            assert state.store_message_ins(message) is not None, "an instruction was not taken"
            data = message_to_proto(message).SerializeToString()
            file.write(len(data).to_bytes(4, "little") + data)
    servicer = FleetServicer(states, stores, False)
    server = generic_create_grpc_server((servicer, add_FleetServicer_to_server), f"127.0.0.1:{port}")
    server.start()
    print(json.dumps({"run": run, "node": node}), flush=True)
    sys.stdin.read()
    server.stop(0)


main()
