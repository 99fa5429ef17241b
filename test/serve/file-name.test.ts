/** The names of files: by CKAN's name of the resource, for whoever may know it, in any characters (promises P9, P17). */
import { validateHeaderValue } from 'node:http';
import { parse } from 'content-disposition';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ckanProfile } from '../../src/ckan/profile.ts';
import { contentDisposition } from '../../src/content-disposition.ts';
import { fileNameOf } from '../../src/serve/file-name.ts';
import { parseQuestion } from '../../src/serve/question/parse.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { recordCount } from '../world/counts.ts';
import { ask, startServing, type Serving } from './serving.ts';

// thousands of requests
vi.setConfig({ testTimeout: 60_000 });

const open = 'f1100000-0000-4000-8000-00000000000a';
const hidden = 'f1100000-0000-4000-8000-00000000000b';
const names: Readonly<Record<string, string>> = {
  [open]: 'Bäume "2026"\r\nX-Evil: 1 🌳.csv',
  [hidden]: 'Secret plan',
};

let serving: Serving | null = null;
afterEach(() => serving?.close());

function nameOf(template: string, name: string | null): string {
  const question = parseQuestion('format=csv');
  if (question.kind !== 'question') throw new Error('refused');
  const id = asResourceId(open);
  const now = new Date('2026-11-21T23:59:59Z');
  return fileNameOf(template, {
    requestedName: 'alias',
    resourceName: name,
    id,
    question,
    profile: ckanProfile('2.12'),
    now,
  });
}

describe('P17: a name becomes a header and nothing else', () => {
  it('every character, alone, is a valid header that gives it back or a stand-in for it', () => {
    let tried = 0;
    for (let point = 0; point <= 0x10ffff; point += point < 0x10000 ? 1 : 251) {
      const header = contentDisposition(`a${String.fromCodePoint(point)}b.csv`);
      validateHeaderValue('Content-Disposition', header);
      expect(header).toMatch(/^attachment; filename[*=][\u0020-\u007e]*$/);
      tried += 1;
    }
    recordCount('P17', 'characters in file names', tried);
  });

  it('dots and blanks at the ends become one stand-in, and a long run inside costs nothing', () => {
    expect(nameOf('{name}', '..a b. . ')).toBe('_a b_');
    expect(nameOf('{name}', ' . ')).toBe('_');
    const long = `a${' '.repeat(1_000_000)}b`;
    expect(nameOf('{name}', long)).toBe(long);
  });

  it('any text in any template stays one file name of one header', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 400 }),
        fc.constantFrom('{name}.{ext}', '{date}/{name}-{id}.{ext}', '../{name}', '{constructor}{name}'),
        (name, template) => {
          const fileName = nameOf(template, name);
          const header = contentDisposition(fileName);
          validateHeaderValue('Content-Disposition', header);
          const parsed = parse(header);
          expect(parsed.type).toBe('attachment');
          expect(Object.keys(parsed.parameters).filter((key) => !/^filename\*?$/.test(key))).toEqual([]);
          expect(fileName).not.toMatch(/[/\\:*?<>|]|^\./);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('the template takes name, id, date and extension, and knows no other words', () => {
    expect(nameOf('{date} {name}.{ext}', 'Trees')).toBe('2026-11-21 Trees.csv');
    expect(nameOf('{name}.{ext}', 'trees.CSV')).toBe('trees.csv');
    expect(nameOf('{name}.{ext}', null)).toBe('alias.csv');
    expect(nameOf('{toString}-{id}', 'x')).toBe(`{toString}-${open}`);
    expect(nameOf('{name}.{ext}', '\u202egnp.exe')).toBe('_gnp.exe.csv');
  });
});

describe('P9: the name of a resource is told to whoever may read it', () => {
  it('by every way of delivery, HEAD too, asked once; to others never', async () => {
    let asked = 0;
    serving = await startServing({
      environment: { DUMPER_FILENAME: '{name}.{ext}' },
      actions: {
        resource_show: ({ id }, who) => {
          asked += 1;
          return id === hidden && who === 'anonymous' ? null : { name: names[String(id)] };
        },
      },
    });
    await serving.createTable(open, 3);
    await serving.createTable(hidden, 3, { private: true });
    await serving.publish(open);
    await serving.publish(hidden, { public: false });
    const { url } = serving;
    const expected = contentDisposition('Bäume "2026"  X-Evil_ 1 🌳.csv');
    for (const query of ['?latest=true', '?redirect=false', '?limit=1']) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await ask(`${url}/datastore/dump/${open}${query}`, { method });
        expect(answer.headers.get('content-disposition')).toBe(expected);
        expect(answer.headers.get('x-evil')).toBeNull();
      }
    }
    const redirect = await ask(`${url}/datastore/dump/${open}`);
    const blob = await ask(new URL(redirect.headers.get('location') ?? '', url).href);
    expect(blob.headers.get('content-disposition')).toBe(expected);
    expect(asked).toBe(1);
    const member = { headers: { authorization: 'token-member' } };
    const mine = await ask(`${url}/datastore/dump/${hidden}?latest=true`, member);
    expect(mine.headers.get('content-disposition')).toBe('attachment; filename="Secret plan.csv"');
    const refused = await ask(`${url}/datastore/dump/${hidden}?latest=true`);
    expect([refused.status, JSON.stringify([...refused.headers]), refused.text].join()).not.toContain(
      'Secret',
    );
  });
});
