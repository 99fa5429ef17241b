/**
 * How the tests run. Two projects: `unit` (`*.unit.test.ts`: nothing but this process and loopback HTTP, seconds) and
 * `integration` (all others: one Postgres for the whole run). A plain tally is the last line.
 */
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import tallyReporter from './test/world/tally-reporter.ts';

const seconds = 1000;

export default defineConfig({
  test: {
    reporters: [process.env['CI'] ? 'verbose' : 'default', tallyReporter],
    pool: 'forks',
    maxWorkers: Math.min(4, availableParallelism()),
    teardownTimeout: 60 * seconds,
    coverage: { provider: 'v8', include: ['src/**/*.ts'], exclude: ['src/**/*.as.ts'] },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.unit.test.ts'],
          testTimeout: 10 * seconds,
          hookTimeout: 10 * seconds,
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.unit.test.ts'],
          globalSetup: ['test/world/global-setup.ts'],
          // A test that needs longer names its own limit; a set-up is several steps.
          testTimeout: 30 * seconds,
          hookTimeout: 60 * seconds,
        },
      },
    ],
  },
});
