/** `npm run generate`: write the generated texts; `npm run counts`: the counts of the last run of the suite too. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { generatedFiles } from './generated.ts';
import { root, textOf } from './tree.ts';

for (const { file, text } of await generatedFiles({ counts: process.argv.includes('--counts') })) {
  if (text === textOf(file)) continue;
  writeFileSync(path.join(root, file), text);
  console.log(`written: ${file}`);
}
