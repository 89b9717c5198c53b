"""The index of a segment's blocks against a plain list of them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from walrus.core.storage.blocks import FILE_HEADER_BYTES, BlockIndex, BlockInfo


class IndexMachine(RuleBasedStateMachine):
    """``blocks`` are (base, count, position, size, crc) of what the index should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.index = BlockIndex()
        self.blocks: list[tuple[int, int, int, int, int]] = []

    @property
    def length(self) -> int:
        return sum(block[1] for block in self.blocks)

    @rule(count=st.integers(1, 5), size=st.integers(1, 100), crc=st.integers(0, 2**32 - 1))
    def add(self, count: int, size: int, crc: int) -> None:
        base = self.length
        position = FILE_HEADER_BYTES + sum(block[3] for block in self.blocks)
        # The position within the buffer that a block came in says nothing of its place in the file.
        self.index.add(BlockInfo(7, size, base, count, epoch=0, wall_ns=0, crc=crc))
        self.blocks.append((base, count, position, size, crc))

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        keep = data.draw(st.integers(0, len(self.blocks)))
        length = self.blocks[keep][0] if keep < len(self.blocks) else self.length + data.draw(st.integers(0, 3))
        self.index.truncate(length)
        del self.blocks[keep:]

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def find(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, self.length - 1))
        expected = next(n for n, (base, count, *_) in enumerate(self.blocks) if base <= offset < base + count)
        assert self.index.find(offset) == expected

    @invariant()
    def agrees_with_the_list(self) -> None:
        index, blocks = self.index, self.blocks
        assert index.length == self.length
        assert list(index.bases) == [block[0] for block in blocks]
        assert list(index.positions) == [block[2] for block in blocks]
        assert list(index.crcs) == [block[4] for block in blocks]
        assert index.end_position == FILE_HEADER_BYTES + sum(block[3] for block in blocks)
        assert index.base_of(len(blocks)) == self.length
        assert index.position_of(len(blocks)) == index.end_position


TestIndex = IndexMachine.TestCase
TestIndex.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.data())
def test_a_length_inside_a_block_is_no_border_to_cut_at(counts: list[int], data: st.DataObject) -> None:
    index = BlockIndex()
    for count in counts:
        index.add(BlockInfo(0, 10, index.length, count, epoch=0, wall_ns=0, crc=0))
    borders = [0, *list(index.bases), index.length]
    length = data.draw(st.integers(0, index.length))
    refused = False
    try:
        index.truncate(length)
    except AssertionError:
        refused = True
    assert refused == (length not in borders)
