/** Ends a run with one plain line, `N passed, N failed`, and before it the reasons of what was skipped. */
import type { Reporter, TestCase } from 'vitest/node';

const tallyReporter: Reporter = {
  onTestRunEnd(modules, unhandledErrors) {
    const cases: TestCase[] = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string): number => cases.filter((test) => test.result().state === state).length;
    const broken = modules.filter(
      (module) => module.state() === 'failed' && module.errors().length > 0,
    ).length;
    const reasons = new Set(cases.map(reasonOfSkip).filter((reason) => reason !== null));
    // printed last, after the summary of the default reporter
    process.once('exit', () => {
      for (const reason of reasons) console.log(`skipped: ${reason}`);
      console.log(`${count('passed')} passed, ${count('failed') + broken + unhandledErrors.length} failed`);
    });
  },
};

function reasonOfSkip(test: TestCase): string | null {
  const result = test.result();
  return result.state === 'skipped' && result.note ? result.note : null;
}

export default tallyReporter;
