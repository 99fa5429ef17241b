/** How the tests run: one Postgres for the whole run, two processes at most, and a plain tally as the last line. */
import { defineConfig } from 'vitest/config';
import tallyReporter from './test/world/tally-reporter.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/world/global-setup.ts'],
    reporters: [process.env['CI'] ? 'verbose' : 'default', tallyReporter],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 60_000,
    coverage: { provider: 'v8', include: ['src/**/*.ts'], exclude: ['src/**/*.as.ts'] },
  },
});
