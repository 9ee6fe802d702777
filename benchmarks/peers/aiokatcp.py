"""How does aiokatcp take part? On the wire: ``?echo hello``, answered by ``!echo ok hello``."""

# No postponed annotations: aiokatcp reads those of a handler when its class is made.
import asyncio
from typing import Any

from benchmarks.house.peer import Peer, Wire, installed


def serve(port: int, _options: dict[str, Any]) -> None:
    """Run a device server on one event loop."""
    import aiokatcp

    class Server(aiokatcp.DeviceServer):
        VERSION = "bench-1.0"
        BUILD_STATE = "bench-1.0"

        async def request_echo(self, ctx: aiokatcp.RequestContext, text: str) -> str:
            """Echo the argument."""
            return text

    async def run() -> None:
        server = Server("127.0.0.1", port)
        await server.start()
        await server.join()

    asyncio.run(run())


PEER = Peer(
    name="aiokatcp",
    version=installed("aiokatcp"),
    settings="as installed, its compiled codec, asyncio's own event loop",
    serve=serve,
    wire=Wire(b"?echo hello\n", ok=b"!echo ok", skip_prefix=b"#"),
    colour="#CC79A7",
)
