/**
 * What every page has: head, skip link and title; how moments, sizes and states are written; and HTML by tagged template,
 * where everything put in is escaped unless it was built here (P17, no injection).
 */
import type { DisplayState } from '../../state/publication-state.ts';
import { bytesText, countText } from '../../units.ts';

/** A piece of a document, safe as it is. */
export interface Html {
  readonly html: string;
}

type Part = Html | readonly Html[] | string | number | null;

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Build a piece: text and numbers are escaped, pieces go in as they are, null leaves nothing. */
export function html(literals: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return {
    html: literals.reduce((text, literal, index) => text + written(parts[index - 1] ?? null) + literal),
  };
}

function written(part: Part): string {
  if (part === null) return '';
  if (typeof part === 'number') return String(part);
  if (typeof part === 'string') return part.replaceAll(/[&<>"']/g, (character) => escapes[character] ?? '');
  return 'html' in part ? part.html : part.map((piece) => piece.html).join('');
}

/** Mark and word of a state: never told by colour alone. */
const stateMarks: Readonly<Record<DisplayState, string>> = {
  fresh: '✓',
  pending: '…',
  building: '⚙',
  failed: '✗',
  absent: '–',
};

export function stateBadge(state: DisplayState): Html {
  return html`<span class="state ${state}"
    ><span aria-hidden="true">${stateMarks[state]}</span> ${state}</span
  >`;
}

/** How far away an age is, in one unit: `3 min`, `2 d`. */
function ageText(from: Date, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - from.getTime()) / 1000));
  const [unit, name] = (
    [
      [86_400, 'd'],
      [3600, 'h'],
      [60, 'min'],
    ] as const
  ).find(([size]) => seconds >= size) ?? [1, 's'];
  return `${Math.floor(seconds / unit)} ${name}`;
}

/** A moment as an age, with the moment itself for machines and on hover. */
export function ageOf(moment: Date | null, now: Date): Html {
  if (moment === null) return html`<span class="none">–</span>`;
  const exact = moment.toISOString();
  return html`<time datetime="${exact}" title="${exact}">${ageText(moment, now)} ago</time>`;
}

/** Bytes, or a dash where they are not known. */
export function sizeText(bytes: number | null): string {
  return bytes === null ? '–' : bytesText(bytes);
}

/** A count, or a dash where it is not known. */
export function numberText(count: number | null): string {
  return count === null ? '–' : countText(count);
}

interface PageFrame {
  readonly title: string;
  /** From this page to the service's root, relative, so that any prefix of a proxy works. */
  readonly root: '' | '../' | '../../';
  /** Seconds between reloads that the reader asked for; null: none. */
  readonly reloadSeconds: number | null;
  readonly body: Html;
}

/** The whole document, without scripts and inline styles, so that the strictest policy holds. */
export function renderDocument({ title, root, reloadSeconds, body }: PageFrame): string {
  const reload =
    reloadSeconds === null ? null : html`<meta http-equiv="refresh" content="${reloadSeconds}" />`;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="robots" content="noindex" />
        ${reload}
        <title>${title}</title>
        <link rel="stylesheet" href="${root}page.css" />
      </head>
      <body>
        <a class="skip" href="#main">Skip to content</a>
        <header><a class="brand" href="${root === '' ? './' : root}">DataStore dumps</a></header>
        <main id="main" tabindex="-1">${body}</main>
      </body>
    </html> `.html;
}
