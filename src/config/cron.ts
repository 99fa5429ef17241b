/** Cron expressions, by node-cron: checked when settings are read, so that a bad one is a fault of the settings. */
import cron from 'node-cron';

/** Why an expression is not one, or null. */
export function cronFault(expression: string): string | null {
  return cron.validate(expression) ? null : `expected a cron expression, got "${expression}"`;
}
