/**
 * The texts that are made from tables of the program, never typed: settings in `docs/` and in the chart, the list of
 * deviations, promises with their tests and counts, and what follows from the table of formats. `npm run generate` writes
 * them; a test holds them equal.
 */
import path from 'node:path';
import type { Setting } from '../../src/config/setting.ts';
import { settings } from '../../src/config/settings.ts';
import { recordedCounts } from '../world/counts.ts';
import { deviations, deviationsOfLargeTables } from '../conformance/deviations.ts';
import { chartSchema } from './chart-schema.ts';
import { formatsTable, kernelRows, mediaTypes, parameterSchema } from './format-texts.ts';
import { promises } from './promises.ts';
import { provingTests, textOf } from './tree.ts';

const settingList = Object.entries<Setting>(settings);
/** Settings that the chart sets by itself. */
const ofChart: readonly string[] = ['DUMPER_ROLE', 'DUMPER_HOST'];
/** Credentials of the AWS SDK: secrets of the chart beside our own. */
const awsSecrets = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'] as const;

export interface GeneratedFile {
  readonly file: string;
  readonly text: string;
}

/** Every file as it should be; `counts`: with the numbers of the last run of the suite, which differ from run to run. */
export async function generatedFiles({ counts }: { readonly counts: boolean }): Promise<GeneratedFile[]> {
  const secrets = [...settingList.filter(([, { secret }]) => secret).map(([name]) => name), ...awsSecrets];
  const values = filled(
    textOf('helm/datastore-dumper/values.yaml'),
    '  # begin generated settings',
    '  # end generated settings',
    chartSettings(),
  );
  return [
    page('docs/settings.md', ['settings', settingsTable()]),
    page('docs/bytes.md', ['repairs', deviationsList()]),
    page('docs/promises.md', ['promises', promisesTable(counts ? recordedNumbers() : writtenNumbers())]),
    {
      file: 'helm/datastore-dumper/values.yaml',
      text: filled(
        values,
        '  # begin generated secrets',
        '  # end generated secrets',
        secrets.map((name) => `  # ${name}`).join('\n'),
      ),
    },
    {
      file: 'helm/datastore-dumper/values.schema.json',
      text: `${JSON.stringify(chartSchema(carriedSettings(), secrets), null, 2)}\n`,
    },
    { file: 'helm/datastore-dumper/files/secrets.txt', text: `${secrets.join('\n')}\n` },
    // a chart reads no file outside its folder
    ...['alerts.yaml', 'dashboard.json'].map((name) => ({
      file: `helm/datastore-dumper/files/${name}`,
      text: textOf(`packaging/monitoring/${name}`),
    })),
    ...ofFormats(),
  ];
}

function ofFormats(): GeneratedFile[] {
  const parameter = filled(
    textOf('openapi.yaml'),
    '        # begin generated formats',
    '        # end generated formats',
    parameterSchema(),
  );
  const answer = filled(
    parameter,
    '            # begin generated media types',
    '            # end generated media types',
    mediaTypes(),
  );
  return [
    { file: 'openapi.yaml', text: answer },
    { file: 'docs/formats.md', text: fillSection(textOf('docs/formats.md'), ['formats', formatsTable()]) },
    { file: 'src/dump/format/rows.as.ts', text: kernelRows() },
  ];
}

function carriedSettings(): [string, Setting][] {
  return settingList.filter(([name, { secret }]) => !secret && !ofChart.includes(name));
}

function page(file: string, section: [string, string]): GeneratedFile {
  return { file, text: fillSection(textOf(file), section) };
}

function fillSection(text: string, [name, content]: [string, string]): string {
  return filled(text, `<!-- begin ${name} -->`, `<!-- end ${name} -->`, content);
}

/** Replace what stands between two marker lines; a missing marker is an error, not a silent nothing. */
export function filled(text: string, begin: string, end: string, content: string): string {
  const from = text.indexOf(`${begin}\n`);
  const to = text.indexOf(end, from);
  if (from === -1 || to === -1) throw new Error(`no lines ${begin} … ${end}`);
  return `${text.slice(0, from)}${begin}\n${content}\n${text.slice(to)}`;
}

function settingsTable(): string {
  const cell = (text: string): string => text.replaceAll('|', String.raw`\|`);
  const rows = settingList.map(
    ([name, { default: fallback, meaning }]) =>
      `| \`${name}\` | ${fallback === null ? 'none' : `\`${cell(fallback)}\``} | ${cell(meaning)} |`,
  );
  return ['| name | default | meaning |', '|---|---|---|', ...rows].join('\n');
}

function chartSettings(): string {
  return carriedSettings()
    .map(
      ([name, { default: fallback, meaning }]) =>
        `  # ${name}: ${JSON.stringify(fallback ?? '')}  # ${meaning}`,
    )
    .join('\n');
}

/** The places where an answer differs from CKAN's on purpose: a list that the conformance suite holds complete, and more. */
function deviationsList(): string {
  return Object.entries({ ...deviations, ...deviationsOfLargeTables })
    .map(([why, answer]) => `- **${why}**: ${answer}`)
    .join('\n');
}

function promisesTable(numbers: ReadonlyMap<string, string>): string {
  const proofs = provingTests();
  const rows = Object.entries(promises).map(([id, promise]) => {
    const tests = (proofs.get(id) ?? []).map(
      (file) => `[${path.basename(file).replace(/(\.unit)?\.test\.ts$/, '')}](../${file})`,
    );
    return `| ${id} | ${promise} | ${numbers.get(id) ?? ''} | ${tests.join(', ')} |`;
  });
  return ['| | promise | counted | proof |', '|---|---|---|---|', ...rows].join('\n');
}

/** What the last run of the suite has counted, by promise. */
function recordedNumbers(): Map<string, string> {
  const counts = Map.groupBy(recordedCounts(), ({ promise }) => promise);
  return new Map(
    [...counts].map(([id, entries]) => [
      id,
      entries.map(({ what, count }) => `${count.toLocaleString('en')} ${what}`).join('; '),
    ]),
  );
}

/** What the page says of an earlier run. */
function writtenNumbers(): Map<string, string> {
  const rows = textOf('docs/promises.md').matchAll(/^\| (P\d+) \| [^|]* \| ([^|]*) \|/gm);
  return new Map([...rows].map(([, id = '', numbers = '']) => [id, numbers]));
}
