/** Holds a table's fence and, when told, tries to switch under it: to be stopped or killed. */
import { openState } from '../../src/state/state.ts';
import { asResourceId } from '../../src/postgres/table.ts';

const [url = '', name = ''] = process.argv.slice(2);
const id = asResourceId(name);
const state = await openState({ url, leaseSeconds: 2, onIdleError: () => undefined });
const generation = await state.fence.take(id, 0);
process.on('message', () => {
  state.fence
    .switchUnder(id, generation, async () => 'switched')
    .then(
      (outcome) => process.send?.(outcome.kind),
      (error: unknown) => process.send?.(String(error)),
    );
});
process.send?.(generation);
