/**
 * What a request for a dump asked, for its log line: which parameters, and how long the ones are that people write freely.
 * Their values may name persons, so they are logged at debug level alone (P18, logs hold nothing that can be used).
 */
import { redact } from '../log.ts';

/** The parameters of the dump route; true: its length says something. */
const parameters: ReadonlyMap<string, boolean> = new Map([
  ['format', false],
  ['bom', false],
  ['filters', true],
  ['q', true],
  ['plain', false],
  ['language', false],
  ['distinct', false],
  ['fields', true],
  ['sort', true],
  ['offset', false],
  ['limit', false],
  ['latest', false],
  ['redirect', false],
]);

/** `q:12 filters:340 limit`, lengths as they stand in the address; others are `+` and their number. Undefined: nothing asked. */
export function questionSize(query: string): string | undefined {
  if (query === '') return undefined;
  const words: string[] = [];
  let others = 0;
  for (const pair of query.split('&')) {
    const mark = pair.indexOf('=');
    const name = mark === -1 ? pair : pair.slice(0, mark);
    const hasLength = parameters.get(name);
    if (hasLength === undefined) others += pair === '' ? 0 : 1;
    else if (words.length < longestList)
      words.push(hasLength ? `${name}:${mark === -1 ? 0 : pair.length - mark - 1}` : name);
  }
  if (others > 0) words.push(`+${others}`);
  return words.join(' ') || undefined;
}

/** A parameter may be given many times. */
const longestList = 30;
const longestQuery = 2000;

/** The query itself, as it stands in the address, for people who look for a fault. */
export function questionText(query: string): string | undefined {
  return query === '' ? undefined : redact(`?${query.slice(0, longestQuery)}`).slice(1);
}

/** The parameters that a refusal names, one a line of it. */
export function refusedParameters(message: string): string {
  const names = message.split('\n').map((line) => line.slice(0, Math.max(0, line.indexOf(':'))));
  const known = names.filter((name) => parameters.has(name));
  return known.length === 0 ? 'bad question' : `bad ${[...new Set(known)].join(', ')}`;
}
