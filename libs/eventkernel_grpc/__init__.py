"""The gRPC edge of contexts built on eventkernel: server, error table, tokens, pages, wire types, client (docs/grpc.md)."""

from eventkernel_grpc.call import CallContext, current_call
from eventkernel_grpc.client import ChannelSettings, channel, remote_error, remote_errors, sync_channel
from eventkernel_grpc.credentials import ClientTls, ServerTls
from eventkernel_grpc.errors import BindFailed, MetadataInvalid, RemoteError, RequestInvalid, Violation
from eventkernel_grpc.metadata import call_metadata
from eventkernel_grpc.observer import CallObserver, CallRecord, LogObserver, Observers
from eventkernel_grpc.pages import PageTokens, page_size
from eventkernel_grpc.server import GrpcServer
from eventkernel_grpc.settings import ServerSettings
from eventkernel_grpc.tokens import decode_token, encode_token, merge_positions

__all__ = [
    "BindFailed",
    "CallContext",
    "CallObserver",
    "CallRecord",
    "ChannelSettings",
    "ClientTls",
    "GrpcServer",
    "LogObserver",
    "MetadataInvalid",
    "Observers",
    "PageTokens",
    "RemoteError",
    "RequestInvalid",
    "ServerSettings",
    "ServerTls",
    "Violation",
    "call_metadata",
    "channel",
    "current_call",
    "decode_token",
    "encode_token",
    "merge_positions",
    "page_size",
    "remote_error",
    "remote_errors",
    "sync_channel",
]
