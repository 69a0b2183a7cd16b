"""The in-memory mode of the client behind a real gRPC port, so that what the client sends over gRPC is made, sent and read."""
# ruff: noqa: N802  the methods have the names of the protocol

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from grpc import StatusCode
from grpc.aio import server as grpc_server
from qdrant_client import AsyncQdrantClient, models
from qdrant_client import grpc as wire
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import collections_service_pb2_grpc, points_service_pb2_grpc, qdrant_pb2_grpc

DONE = wire.UpdateResult(operation_id=0, status=wire.UpdateStatus.Completed)


class _Root(qdrant_pb2_grpc.QdrantServicer):
    async def HealthCheck(self, _request: Any, _context: Any) -> Any:
        return wire.HealthCheckReply(title="fake", version="1.20.0")


class _Collections(collections_service_pb2_grpc.CollectionsServicer):
    def __init__(self, held: AsyncQdrantClient) -> None:
        self._held = held

    async def CollectionExists(self, request: Any, _context: Any) -> Any:
        exists = await self._held.collection_exists(request.collection_name)
        return wire.CollectionExistsResponse(result=wire.CollectionExists(exists=exists))

    async def Create(self, request: Any, _context: Any) -> Any:
        dense = request.vectors_config.params_map.map["dense"]
        assert request.sparse_vectors_config.map["bm25"].modifier == wire.Modifier.Idf
        assert request.strict_mode_config.enabled
        await self._held.create_collection(
            request.collection_name,
            vectors_config={"dense": models.VectorParams(size=dense.size, distance=models.Distance.DOT)},
            sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
            metadata=GrpcToRest.convert_payload(request.metadata),
        )
        return wire.CollectionOperationResponse(result=True)

    async def Delete(self, request: Any, _context: Any) -> Any:
        return wire.CollectionOperationResponse(result=await self._held.delete_collection(request.collection_name))

    async def Get(self, request: Any, _context: Any) -> Any:
        found = await self._held.get_collection(request.collection_name)
        return wire.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(found))

    async def ListAliases(self, _request: Any, _context: Any) -> Any:
        found = (await self._held.get_aliases()).aliases
        return wire.ListAliasesResponse(aliases=[RestToGrpc.convert_alias_description(one) for one in found])

    async def UpdateAliases(self, request: Any, _context: Any) -> Any:
        actions = [GrpcToRest.convert_alias_operations(one) for one in request.actions]
        await self._held.update_collection_aliases(actions)
        return wire.CollectionOperationResponse(result=True)


class _Points(points_service_pb2_grpc.PointsServicer):
    def __init__(self, held: AsyncQdrantClient) -> None:
        self._held = held

    async def CreateFieldIndex(self, _request: Any, _context: Any) -> Any:
        return wire.PointsOperationResponse(result=DONE)

    async def Upsert(self, request: Any, _context: Any) -> Any:
        assert request.wait
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        await self._held.upsert(request.collection_name, points)
        return wire.PointsOperationResponse(result=DONE)

    async def Delete(self, request: Any, _context: Any) -> Any:
        await self._held.delete(request.collection_name, GrpcToRest.convert_points_selector(request.points))
        return wire.PointsOperationResponse(result=DONE)

    async def UpdateBatch(self, request: Any, _context: Any) -> Any:
        operations = [GrpcToRest.convert_points_update_operation(one) for one in request.operations]
        await self._held.batch_update_points(request.collection_name, operations)
        return wire.UpdateBatchResponse(result=[DONE for _ in operations])

    async def Get(self, request: Any, _context: Any) -> Any:
        ids = [GrpcToRest.convert_point_id(one) for one in request.ids]
        found = await self._held.retrieve(request.collection_name, ids, request.with_payload.enable)
        return wire.GetResponse(result=[_record(one) for one in found])

    async def Scroll(self, request: Any, _context: Any) -> Any:
        offset = GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None
        wanted = GrpcToRest.convert_filter(request.filter)
        found, next_offset = await self._held.scroll(
            request.collection_name, wanted, limit=request.limit, offset=offset, with_payload=False
        )
        reply = wire.ScrollResponse(result=[_record(one) for one in found])
        if next_offset is not None:
            reply.next_page_offset.CopyFrom(RestToGrpc.convert_extended_point_id(next_offset))
        return reply

    async def Count(self, request: Any, _context: Any) -> Any:
        wanted = GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None
        found = await self._held.count(request.collection_name, wanted)
        return wire.CountResponse(result=RestToGrpc.convert_count_result(found))

    async def Query(self, request: Any, context: Any) -> Any:
        if not await self._held.collection_exists(request.collection_name):
            await context.abort(StatusCode.NOT_FOUND, "no such collection")
        params = GrpcToRest.convert_search_params(request.params) if request.HasField("params") else None
        found = await self._held.query_points(
            request.collection_name,
            query=GrpcToRest.convert_query(request.query),
            using=request.using,
            query_filter=GrpcToRest.convert_filter(request.filter),
            search_params=params,
            limit=request.limit,
            with_payload=False,
        )
        return wire.QueryResponse(result=[RestToGrpc.convert_scored_point(one) for one in found.points])


def _record(found: models.Record) -> Any:
    return RestToGrpc.convert_record(found.model_copy(update={"payload": found.payload or {}}))


@contextmanager
def fake_qdrant_grpc(port: int = 0) -> Iterator[int]:
    """The port that it listens on. It begins with nothing."""
    held = AsyncQdrantClient(":memory:")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def started() -> tuple[Any, int]:
        server = grpc_server()
        qdrant_pb2_grpc.add_QdrantServicer_to_server(_Root(), server)
        collections_service_pb2_grpc.add_CollectionsServicer_to_server(_Collections(held), server)
        points_service_pb2_grpc.add_PointsServicer_to_server(_Points(held), server)
        chosen = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        return server, chosen

    server, chosen = asyncio.run_coroutine_threadsafe(started(), loop).result(10)
    try:
        yield chosen
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
