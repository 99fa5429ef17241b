/** Text and attributes as Python's ElementTree escapes them, with U+FFFD for what XML 1.0 does not allow. */

// oxlint-disable-next-line no-control-regex -- what XML 1.0 does not allow (production 2); surrogates alone become U+FFFD in UTF-8
const notXml = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
const textEscapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const attributeEscapes: Readonly<Record<string, string>> = {
  ...textEscapes,
  '"': '&quot;',
  '\t': '&#09;',
  '\n': '&#10;',
  '\r': '&#13;',
};

// oxlint-disable-next-line no-control-regex -- the same, and what is escaped
const textSpecial = /[&<>\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
// oxlint-disable-next-line no-control-regex -- the same, and what is escaped
const attributeSpecial = /[&<>"\u0000-\u001f\ufffe\uffff]/;

export function escapeText(text: string): string {
  if (!textSpecial.test(text)) return text;
  return text.replaceAll(/[&<>]/g, (character) => textEscapes[character] ?? '').replaceAll(notXml, '\ufffd');
}

export function escapeAttribute(text: string): string {
  if (!attributeSpecial.test(text)) return text;
  return text
    .replaceAll(/[&<>"\t\n\r]/g, (character) => attributeEscapes[character] ?? '')
    .replaceAll(notXml, '\ufffd');
}
