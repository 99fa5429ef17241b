/** The page of one table: downloads with checksums, columns with their data dictionary, and what happened to it. */
import { fileOf, type Variant } from '../../format.ts';
import { ageOf, html, numberText, renderDocument, sizeText, stateBadge, type Html } from './frame.ts';
import type { TableSummary } from './tables-page.ts';

interface TableDownload {
  readonly variant: Variant;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

export interface TableColumn {
  readonly name: string;
  readonly type: string;
  /** The data dictionary's label and notes, where there are any. */
  readonly label: string | null;
  readonly notes: string | null;
}

/** One thing that happened, newest first. */
interface TableEvent {
  readonly at: Date;
  readonly text: string;
}

export interface TablePage {
  readonly table: TableSummary;
  readonly revision: string | null;
  /** `exact`, or `read-only` where freshness has a lag. */
  readonly tier: string | null;
  readonly downloads: readonly TableDownload[];
  readonly columns: readonly TableColumn[];
  readonly history: readonly TableEvent[];
  /** Show the form that asks for the admin token and queues a publication. */
  readonly canRebuild: boolean;
  /** The reader has just asked for a publication. */
  readonly isQueued: boolean;
  readonly now: Date;
}

export function renderTablePage(page: TablePage): string {
  const { table, now } = page;
  const title = table.name ?? table.id;
  const body = html`<h1>${title}</h1>
    ${page.isQueued ? queuedNotice(table.id) : null}
    <dl>
      <dt>Resource</dt>
      <dd><code>${table.id}</code></dd>
      <dt>State</dt>
      <dd>
        ${stateBadge(table.state)}${table.reason === null ? null : html` <span class="reason">${table.reason}</span>`}
      </dd>
      <dt>Published</dt>
      <dd>${ageOf(table.publishedAt, now)}</dd>
      <dt>Rows</dt>
      <dd>${numberText(table.rows)}</dd>
      ${
        page.revision === null
          ? null
          : html`<dt>Revision</dt>
              <dd><code>${page.revision}</code></dd>`
      }
      ${
        page.tier === null
          ? null
          : html`<dt>Freshness</dt>
              <dd>
                ${page.tier === 'exact' ? 'exact, by the change journal' : 'by counters; may lag as the documentation says'}
              </dd>`
      }
    </dl>
    ${downloadsOf(page)} ${columnsOf(page.columns)} ${historyOf(page.history)}
    ${page.canRebuild ? rebuildForm(table.id) : null}`;
  return renderDocument({ title: `${title} – DataStore dumps`, root: '../', reloadSeconds: null, body });
}

const queuedNotice = (id: string): Html =>
  html`<p class="notice" role="status">
    A publication is queued. What is published meanwhile goes on being served;
    <a href="${encodeURIComponent(id)}">look again</a>.
  </p>`;

/** The answer to a form with another token. */
export function renderWrongToken(id: string): string {
  const body = html`<h1>Nothing was queued</h1>
    <p>This is not the admin token.</p>
    <p><a href="../${encodeURIComponent(id)}">Back to the table</a></p>`;
  return renderDocument({
    title: 'Nothing was queued – DataStore dumps',
    root: '../../',
    reloadSeconds: null,
    body,
  });
}

/** The dump's own address: it answers with the blob while it is fresh, and live when it is not. */
function dumpPath(id: string, variant: Variant): string {
  return `../datastore/dump/${encodeURIComponent(id)}?${fileOf(variant).query}`;
}

function downloadsOf({ table, downloads }: TablePage): Html {
  if (downloads.length === 0) {
    return html`<h2>Downloads</h2>
      <p>Not published yet; <a href="${dumpPath(table.id, 'csv')}">download it live as CSV</a>.</p>`;
  }
  return html`<h2>Downloads</h2>
    <div class="scroll" role="region" aria-label="Downloads" tabindex="0">
      <table>
        <thead>
          <tr>
            <th scope="col">Format</th>
            <th scope="col" class="number">Size</th>
            <th scope="col">SHA-256</th>
          </tr>
        </thead>
        <tbody>
          ${downloads.map(
            ({ variant, bytes, sha256 }) =>
              html`<tr>
                <th scope="row"><a href="${dumpPath(table.id, variant)}">${fileOf(variant).label}</a></th>
                <td class="number">${sizeText(bytes)}</td>
                <td class="sum"><code>${sha256}</code></td>
              </tr> `,
          )}
        </tbody>
      </table>
    </div>`;
}

function columnsOf(columns: readonly TableColumn[]): Html | null {
  if (columns.length === 0) return null;
  return html`<h2>Columns</h2>
    <div class="scroll" role="region" aria-label="Columns" tabindex="0">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Type</th>
            <th scope="col">Label</th>
            <th scope="col">Notes</th>
          </tr>
        </thead>
        <tbody>
          ${columns.map(
            ({ name, type, label, notes }) =>
              html`<tr>
                <th scope="row"><code>${name}</code></th>
                <td>${type}</td>
                <td>${label}</td>
                <td class="notes">${notes}</td>
              </tr> `,
          )}
        </tbody>
      </table>
    </div>`;
}

function historyOf(history: readonly TableEvent[]): Html | null {
  if (history.length === 0) return null;
  return html`<h2>History</h2>
    <ol class="history">
      ${history.map(
        ({ at, text }) =>
          html`<li>
            <time datetime="${at.toISOString()}">${at.toISOString().replace('T', ' ').slice(0, 19)} UTC</time>
            ${text}
          </li> `,
      )}
    </ol>`;
}

/** No cookie carries the right, so another site cannot make a reader's browser send it. */
function rebuildForm(id: string): Html {
  return html`<h2>Publish again</h2>
    <form method="post" action="${encodeURIComponent(id)}/rebuild">
      <label for="token">Admin token</label>
      <input id="token" name="token" type="password" autocomplete="current-password" required="" />
      <button>Queue a publication</button>
    </form>`;
}
