/** Ends a run with one plain line, `N passed, N failed`, and before it every skipped suite's reason. */
import type { Reporter, TestCase } from 'vitest/node';

const tallyReporter: Reporter = {
  onTestRunEnd(modules, unhandledErrors) {
    const cases: TestCase[] = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string): number => cases.filter((test) => test.result().state === state).length;
    const broken = modules.filter(
      (module) => module.state() === 'failed' && module.errors().length > 0,
    ).length;
    const skipped = cases.filter((test) => test.result().state === 'skipped');
    // printed last, after the summary of the default reporter
    process.once('exit', () => {
      for (const test of skipped) console.log(`skipped: ${test.fullName}${noteOf(test)}`);
      console.log(`${count('passed')} passed, ${count('failed') + broken + unhandledErrors.length} failed`);
    });
  },
};

function noteOf(test: TestCase): string {
  const result = test.result();
  return result.state === 'skipped' && result.note ? ` (${result.note})` : '';
}

export default tallyReporter;
