/** What follows from the table of formats: the description of the API, the documentation, the kernel's list of writers. */
import { formats, formatTable, kernelFormats, type KernelFormat } from '../../src/format.ts';

/** The schema of the parameter `format`, as it stands in openapi.yaml. */
export function parameterSchema(): string {
  return `        schema: { type: string, enum: [${formats.join(', ')}], default: csv }`;
}

/** What openapi.yaml says of a dump's body beyond that it is text. */
const described: Readonly<Record<string, readonly string[]>> = {
  csv: ['schema: { type: string }', String.raw`example: "_id,colour,size\r\n1,red,10\n"`],
  json: ["schema: { $ref: '#/components/schemas/JsonDump' }"],
};

/** The bodies of a dump by media type, as they stand in openapi.yaml. */
export function mediaTypes(): string {
  return formats
    .flatMap((format) => [
      `            ${formatTable[format].mediaType.split(';')[0]}:`,
      ...(described[format] ?? ['schema: { type: string }']).map((line) => `              ${line}`),
    ])
    .join('\n');
}

/** The table of docs/formats.md. */
export function formatsTable(): string {
  const yes = (is: boolean): string => (is ? 'yes' : 'no');
  const rows = formats.map((format) => {
    const { label, extension, mediaType, bomTwin, inCkan, note } = formatTable[format];
    const cells = [
      `\`${format}\``,
      label,
      `.${extension}`,
      `\`${mediaType}\``,
      yes(bomTwin),
      yes(inCkan),
      note,
    ];
    return `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`;
  });
  const head = ['`format=`', 'name', 'extension', 'media type', '`bom=true`', "CKAN's own", 'what it holds'];
  return [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...rows].join('\n');
}

/** `src/dump/format/rows.as.ts`: a bit and a slot of each format, by its place in the table. */
export function kernelRows(): string {
  const slotOf = (format: KernelFormat): number => kernelFormats.indexOf(format);
  const writer = (format: KernelFormat): string =>
    `write${format.charAt(0).toUpperCase()}${format.slice(1)}Row`;
  const isText = (format: KernelFormat): boolean => formatTable[format].values === 'text';
  const { texts = [], values = [] } = Object.groupBy(kernelFormats, (format) =>
    isText(format) ? 'texts' : 'values',
  );
  const written = (format: KernelFormat): string =>
    `  if (wanted & (1 << ${slotOf(format)})) ${writer(format)}(${slotOf(format)});`;
  const anyValue = values.reduce((bits, format) => bits | (1 << slotOf(format)), 0);
  return [
    '/** The scanned row in each format that is wanted. Generated of the table of formats (`npm run generate`). */',
    "import { wanted } from './memory.as';",
    "import { respellValues } from './respell.as';",
    ...kernelFormats.map((format) => `import { ${writer(format)} } from './${format}.as';`),
    '',
    `export const slots: i32 = ${kernelFormats.length};`,
    '',
    'export function writeRow(): void {',
    ...texts.map(written),
    `  if (wanted & 0b${anyValue.toString(2)}) respellValues();`,
    ...values.map(written),
    '}',
    '',
  ].join('\n');
}
