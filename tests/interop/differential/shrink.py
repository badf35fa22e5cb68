"""Takes the case of a finding apart for as long as the finding stays: first piece by piece, then byte by byte."""

import asyncio

import answers

MOST = 12  # findings of a kind that are minimised in a run
TRIES = 600  # of one case


def bytes_of(pieces, key):
    return b"".join(pieces).replace(b"TOKEN", key.token)


class Shrinker:
    """Sends variants of a case; `kinds` are the kinds of what was found, of which one has to stay."""

    def __init__(self, send, kinds):
        self.send, self.kinds, self.tries, self.said = send, kinds, 0, []

    async def stays(self, pieces):
        self.tries += 1
        if self.tries > TRIES:
            return False
        found = await self.send(pieces)
        is_same = any(kind in self.kinds for kind, _ in found)
        if is_same:
            self.said = found
        return is_same

    async def without(self, pieces):
        """The pieces of which none can be left out (delta debugging)."""
        size = max(len(pieces) // 2, 1)
        while size:
            at, is_smaller = 0, False
            while at < len(pieces):
                fewer = pieces[:at] + pieces[at + size :]
                if fewer and await self.stays(fewer):
                    pieces, is_smaller = fewer, True
                else:
                    at += size
            if not is_smaller or size > 1:
                size //= 2
        return pieces


async def shrink(pieces, send, kinds):
    """The smallest case that was found, and what it shows; `None` if the finding does not come again."""
    shrinker = Shrinker(send, kinds)
    if not await shrinker.stays(pieces):
        return None, []
    pieces = await shrinker.without(pieces)
    whole = b"".join(pieces)
    pieces = await shrinker.without([whole[at : at + 1] for at in range(len(whole))])
    return b"".join(pieces), shrinker.said


async def all_of(pairs, key):
    """Minimises the findings of a run, some of each kind, and prints them."""
    for pair in pairs:
        done = {}
        for finding in pair.judge.findings:
            done[finding.kind] = done.get(finding.kind, 0) + (finding.case is not None)
            if finding.case is None or done[finding.kind] > MOST:
                continue
            print(finding, flush=True)
            text, said = await shrink(finding.case.pieces, pair.sender(key), {finding.kind})
            print(f"    {text!r}\n    {said}" if text else "    not found again", flush=True)


async def answers_of(findings, upstream, port_of_upstream, port, exchange):
    """Minimises findings about answers, some of each kind, and prints them."""
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", port_of_upstream)
    done = {}
    for finding in findings:
        done[finding.kind] = done.get(finding.kind, 0) + (finding.case is not None)
        if finding.case is None or done[finding.kind] > MOST:
            continue
        case = finding.case
        whole = case.pieces

        async def send(pieces, case=case):
            case.pieces = pieces
            heard = await exchange(port, answers.asked(case))
            return [("hung", "")] if heard is None else list(answers.problems(case, heard))

        print(finding, flush=True)
        text, said = await shrink(whole, send, {finding.kind})
        print(f"    {case.method!r}, closes: {case.closes}, {text!r}\n    {said}" if text else "    not found again", flush=True)
        case.pieces = whole
    server.close()
