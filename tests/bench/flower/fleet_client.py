#!/usr/bin/env python3
"""Pushes so many prepared replies of so many bytes to fleet_server.py as a SuperNode does: PushMessages, then PushObject
for every object the server lacks. Everything is built before the clock starts. Prints one line of JSON."""
import json
import sys
import threading
import time

import grpc
import numpy as np
from flwr.app.message.message import remove_content_from_message
from flwr.common import Array, ArrayRecord, Message, RecordDict
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.fleet_pb2_grpc import FleetStub
from flwr.proto.message_pb2 import Message as ProtoMessage, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.task_identity import TaskIdentity


def instructions(path):
    data = open(path, "rb").read()
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "little")
        proto = ProtoMessage()
        proto.ParseFromString(data[at + 4:at + 4 + size])
        yield message_from_proto(proto)
        at += 4 + size


def prepare(instruction, size, index, node, run):
    values = np.random.default_rng(index).standard_normal(size // 4, dtype=np.float32)
    reply = Message(RecordDict({"arrays": ArrayRecord({"model": Array(values)})}), reply_to=instruction)
    reply.metadata.__dict__["_message_id"] = reply.object_id
    objects = {key: value.deflate() for key, value in get_all_nested_objects(reply).items()}
    request = PushMessagesRequest(node=Node(node_id=node),
                                  messages_list=[message_to_proto(remove_content_from_message(reply))],
                                  message_object_trees=[get_object_tree(reply)])
    return request, objects


def main():
    port, size, threads, path, run, node = (int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4],
                                            int(sys.argv[5]), int(sys.argv[6]))
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = run, 0, node
    work = [prepare(one, size, i, node, run) for i, one in enumerate(instructions(path))]
    limit = 1 << 30
    options = [("grpc.max_send_message_length", limit), ("grpc.max_receive_message_length", limit)]
    took, lock = [], threading.Lock()

    def push(mine):
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            stub = FleetStub(channel)
            for request, objects in mine:
                begin = time.perf_counter()
                answer = stub.PushMessages(request)
                for key in answer.objects_to_push:
                    stored = stub.PushObject(PushObjectRequest(node=Node(node_id=node), run_id=run, object_id=key,
                                                               object_content=objects[key],
                                                               session_id=answer.session_id))
                    assert stored.stored, "an object was not stored"
                with lock:
                    took.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    pool = [threading.Thread(target=push, args=(work[i::threads],)) for i in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    seconds = time.perf_counter() - begin
    assert len(took) == len(work), "a push failed"
    took.sort()
    print(json.dumps({"updates": len(work), "seconds": seconds, "p50": took[len(took) // 2]}), flush=True)


main()
