"""A gRPC server on C core with its defaults, which end a client that pings too often.

Says its port, and serves until it is killed. What it is asked comes back; `Slow` answers after a minute.
"""

import sys
import threading
from concurrent import futures

import grpc


def say(request, context):
    return request


def slow(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait(60)
    return request


methods = {
    "Say": grpc.unary_unary_rpc_method_handler(say),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
# Until whoever has started it goes.
sys.stdin.read()
server.stop(None)
