/** HTML by tagged template: everything put in is escaped unless it was built here (promise P17). */

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
