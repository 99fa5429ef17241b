/**
 * The settings of this process: the table of `settings.ts`, parsed once into a frozen object.
 *
 * All faults are reported together as one `CONFIGURATION` error (exit 78). An unknown `DUMPER_*` name is a fault, since
 * it is nearly always a typing error.
 */
import type { z } from 'zod';
import { DumperError } from '../errors.ts';
import type { Setting } from './setting.ts';
import { settings, type SettingName } from './settings.ts';

/** The variables of a process: what a shell, a container or a test gives it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A setting with a default is always there; one without may be undefined. */
export type Config = {
  readonly [Name in SettingName]: (typeof settings)[Name]['default'] extends null
    ? z.output<(typeof settings)[Name]['kind']> | undefined
    : z.output<(typeof settings)[Name]['kind']>;
};

/** What a command needs beyond a valid environment. */
export type Need = 'read' | 'site' | 'publish' | 'store' | 'write';

const needs: Readonly<Record<Need, readonly SettingName[]>> = {
  read: ['CKAN_DATASTORE_READ_URL'],
  site: ['CKAN_SITE_URL'],
  publish: ['DUMPER_STATE_URL', 'DUMPER_BLOB_STORE'],
  store: ['DUMPER_BLOB_STORE'],
  write: ['CKAN_DATASTORE_WRITE_URL'],
};

/** Parse the environment; throws one `CONFIGURATION` error that lists every fault, a line each. */
export function readConfig(environment: Environment, required: readonly Need[] = []): Config {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, { kind, default: fallback }] of Object.entries<Setting>(settings)) {
    const text = environment[name]?.trim() || fallback;
    if (text === null) continue;
    const parsed = kind.safeParse(text);
    if (parsed.success) values[name] = parsed.data;
    else faults.push(`${name}: ${parsed.error.issues.map((issue) => issue.message).join('; ')}`);
  }
  faults.push(...unknownNames(environment), ...missing(values, required, faults));
  if (faults.length > 0) throw new DumperError('CONFIGURATION', faults.join('\n'));
  return Object.freeze(values) as Config;
}

function unknownNames(environment: Environment): string[] {
  return Object.keys(environment)
    .filter((name) => name.startsWith('DUMPER_') && !(name in settings))
    .map((name) => `${name}: no such setting`);
}

function missing(
  values: Record<string, unknown>,
  required: readonly Need[],
  faults: readonly string[],
): string[] {
  return required
    .flatMap((need) => needs[need])
    .filter((name) => !(name === 'CKAN_SITE_URL' && values['DUMPER_AUTHORIZE'] === 'off'))
    .filter((name) => values[name] === undefined && !faults.some((fault) => fault.startsWith(`${name}:`)))
    .map((name) => `${name}: required`);
}
