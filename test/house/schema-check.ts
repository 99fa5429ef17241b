/** JSON Schema (2020-12) as far as the description of the API uses it: what a value has wrong, place by place. */

export type Schema = Readonly<Record<string, unknown>>;

const checkedKeywords = new Set([
  '$ref',
  'type',
  'enum',
  'properties',
  'required',
  'items',
  'additionalProperties',
  'pattern',
  'format',
  'anyOf',
  'minimum',
  'maximum',
]);
const remarks = new Set(['description', 'default', 'example', 'examples']);

/** Follow `$ref` within the document. */
export function resolved(document: Schema, node: Schema): Schema {
  const reference = node['$ref'];
  if (typeof reference !== 'string') return node;
  const parts = reference.replace(/^#\//, '').split('/');
  return resolved(
    document,
    parts.reduce<Schema>((at, part) => at[part] as Schema, document),
  );
}

/** Faults of `value` against `schema`, each with its place; none: it is as described. */
export function faultsOf(document: Schema, given: Schema, value: unknown, at = '$'): string[] {
  const schema = resolved(document, given);
  const unknown = Object.keys(schema).filter((word) => !checkedKeywords.has(word) && !remarks.has(word));
  const faults = unknown.map((word) => `${at}: the schema's word ${word} is not checked`);
  if (!isOfType(schema['type'], value))
    return [...faults, `${at}: ${JSON.stringify(value)} is no ${String(schema['type'])}`];
  if (Array.isArray(schema['enum']) && !schema['enum'].includes(value))
    faults.push(`${at}: ${String(value)} is none of the values`);
  if (typeof value === 'string') faults.push(...faultsOfText(schema, value, at));
  if (typeof value === 'number' && typeof schema['minimum'] === 'number' && value < schema['minimum'])
    faults.push(`${at}: too small`);
  if (Array.isArray(schema['anyOf'])) {
    const fits = (schema['anyOf'] as Schema[]).some((one) => faultsOf(document, one, value, at).length === 0);
    if (!fits) faults.push(`${at}: fits none`);
  }
  if (Array.isArray(value) && schema['items'] !== undefined) {
    const items = schema['items'] as Schema;
    faults.push(...value.flatMap((item, index) => faultsOf(document, items, item, `${at}[${index}]`)));
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    faults.push(...faultsOfObject(document, schema, value as Schema, at));
  return faults;
}

function faultsOfText(schema: Schema, value: string, at: string): string[] {
  const faults: string[] = [];
  if (typeof schema['pattern'] === 'string' && !new RegExp(schema['pattern']).test(value))
    faults.push(`${at}: not of the pattern`);
  if (schema['format'] === 'date-time' && !/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value))
    faults.push(`${at}: no date-time`);
  if (schema['format'] === 'uri-reference' && !URL.canParse(value, 'http://localhost/'))
    faults.push(`${at}: no URI`);
  return faults;
}

/** Properties that the description does not know are faults, too: it would not be whole. */
function faultsOfObject(document: Schema, schema: Schema, value: Schema, at: string): string[] {
  const properties = (schema['properties'] ?? {}) as Record<string, Schema>;
  const others = schema['additionalProperties'] as Schema | undefined;
  const missing = ((schema['required'] ?? []) as string[]).filter((name) => !(name in value));
  const known = schema['properties'] !== undefined || others !== undefined;
  return [
    ...missing.map((name) => `${at}.${name}: missing`),
    ...Object.entries(value).flatMap(([name, member]) => {
      const described = properties[name] ?? others;
      if (described === undefined) return known ? [`${at}.${name}: not described`] : [];
      return faultsOf(document, described, member, `${at}.${name}`);
    }),
  ];
}

function isOfType(type: unknown, value: unknown): boolean {
  if (type === undefined) return true;
  if (Array.isArray(type)) return type.some((one) => isOfType(one, value));
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  return typeof value === type;
}
