#!/usr/bin/env node
/*
 * The installed command. It is written so that an old Node reads it, too, and says in one line what is missing; the
 * program itself is loaded only where it can run.
 */
var needed = 24;

if (Number(process.versions.node.split('.')[0]) < needed) {
  process.stderr.write(
    'datastore-dumper needs Node ' +
      needed +
      ' or later. This is Node ' +
      process.versions.node +
      ' (' +
      process.execPath +
      ').\n',
  );
  process.exitCode = 78;
} else {
  import('../dist/main.js');
}
