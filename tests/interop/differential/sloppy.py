"""A gateway that forwards bytes and reads none of them, to show that the comparison finds what it has to.

    sloppy.py PORT UPSTREAM         two ports on this machine
"""

import asyncio
import contextlib
import sys


async def copy(read, write):
    with contextlib.suppress(ConnectionError):
        while data := await read.read(1 << 16):
            write.write(data)
            await write.drain()
        write.write_eof()


async def serve(read, write):
    try:
        up_read, up_write = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    except OSError:
        write.close()
        return
    await asyncio.gather(copy(read, up_write), copy(up_read, write))
    for side in (up_write, write):
        side.close()


async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()


asyncio.run(main())
