/**
 * Promise P16: the closed set of statement shapes. A statement is known when it was seen while calm questions were
 * asked, identifiers aside, or when it is a COPY or a probe of the planner's own words only.
 */

/** Begins every entry of the server's log: its `log_line_prefix`. */
export const entryMark = '@@@ ';

/** Every statement of a Postgres log whose entries begin with the mark, in order. */
export function statementsOf(log: string): string[] {
  return log
    .split(entryMark)
    .flatMap((entry) => /^LOG: {2}(?:statement|execute [^:]*): (.*)$/s.exec(entry)?.[1] ?? []);
}

/** White space evened, names of tables and columns replaced; null when an identifier is none of `identifiers`. */
export function shapeOf(statement: string, identifiers: ReadonlySet<string>): string | null {
  let isKnown = true;
  const shape = statement.replaceAll(/"((?:[^"]|"")*)"/g, (_, name: string) => {
    isKnown &&= identifiers.has(name.replaceAll('""', '"'));
    return '"?"';
  });
  return isKnown ? shape.replaceAll(/\s+/g, ' ').trim() : null;
}

const words = new Set(
  (
    'COPY SELECT FROM AS WHERE AND OR IN ANY ARRAY GROUP BY ORDER ASC DESC NULLS FIRST LAST LIMIT OFFSET TO STDOUT FORMAT csv ' +
    'public coalesce array_to_json ROW row_number OVER place unnest count v item IS TRUE to_char to_json min max ts_rank to_tsvector plainto_tsquery to_tsquery query s ' +
    'text json boolean regconfig numeric float4 float8 int2 int4 int8 integer bigint timestamp date nested jsonb without time zone false d _id _full_text'
  ).split(' '),
);
const tokens =
  /current_setting\('dumper\.v\d+'\)|'(?:null|YYYY-MM-DD HH24:MI:SS(?:\.MS)?)'|"\?"|query\d+\b|[A-Za-z_]\w*|\b(?:0|32)\b|[(),.[\]=<>@:*]|\s/g;

/** A COPY or probe made of nothing but the planner's words, bound settings and identifiers. */
export function isPlanned(shape: string): boolean {
  if (
    !shape.startsWith('COPY (SELECT ') &&
    !shape.startsWith('SELECT current_setting(') &&
    !/^SELECT (?:\(SELECT )?\w+\((?:current_setting\(|v\.item::)/.test(shape)
  ) {
    return false;
  }
  const rest = shape.replaceAll(tokens, (token) =>
    /^[A-Za-z_]\w*$/.test(token) && !/^query\d+$/.test(token) && !words.has(token) ? `?${token}` : '',
  );
  return rest === '';
}
