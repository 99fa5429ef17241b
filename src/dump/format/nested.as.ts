/** JSON inside a cell is read and written anew by the host (`nested.ts`): the slow path of a cell. */
import { CELL_BYTES, QUOTED, cellEnd, cellSeen, cellStart, cells } from './memory.as';
import { room } from './output.as';

/** Writes the cell (in XML with its element) and returns where writing goes on; drains the output where it must. */
// @ts-ignore: decorator
@external('host', 'nest')
declare function nest(slot: i32, column: i32, start: usize, end: usize, quoted: bool, out: usize): usize;

export function writeNested(slot: i32, cell: usize, out: usize): usize {
  const column = <i32>((cell - cells) / CELL_BYTES);
  const quoted = (cellSeen(cell) & QUOTED) !== 0;
  return room(slot, nest(slot, column, cellStart(cell), cellEnd(cell), quoted, out));
}
