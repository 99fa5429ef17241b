/**
 * `doctor`: tries every setting and right of this installation for real, and says what to do about what fails; with
 * `--front` the portal's web server too.
 *
 * None of it changes anything but probe objects in the blob store. Whether a dependency can be used at all is asked as
 * `/readyz` asks it (`app/readiness.ts`).
 */
import type { AppContext } from '../../app/context.ts';
import { examinationsOfBlobs } from '../doctor/blobs.ts';
import { examinationsOfDatabases } from '../doctor/databases.ts';
import { examineAll } from '../doctor/examination.ts';
import { examinationsOfFront } from '../doctor/front.ts';
import { examinationsOfPortal } from '../doctor/portal.ts';
import type { DoctorOptions, ExitCode, Run } from '../program.ts';

const deadlineSeconds = 10;
const marks = { ok: '[ ok ]', failed: '[FAIL]', 'left out': '[ -- ]' } as const;

export async function doctorCommand(
  context: AppContext,
  { front }: DoctorOptions,
  { output, signal }: Run,
): Promise<ExitCode> {
  const examinations = [
    ...examinationsOfDatabases(context),
    ...examinationsOfBlobs(context),
    ...examinationsOfPortal(context),
    ...(front === undefined ? [] : examinationsOfFront(context, front)),
  ];
  let failed = 0;
  for await (const { advice, ...found } of examineAll(examinations, { signal, deadlineSeconds })) {
    if (found.state === 'failed') failed += 1;
    if (output.json) output.line(JSON.stringify(found));
    else {
      output.line(`${marks[found.state]} ${found.subject}: ${found.detail}`);
      if (found.state === 'failed') output.line(`     → ${advice}`);
    }
  }
  return failed > 0 ? 1 : 0;
}
