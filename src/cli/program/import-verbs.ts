/**
 * The verbs that bring in what other libraries have, their flags and help.
 */
import type { Command } from 'commander';
import { addActOptions } from '../verb.ts';
import type { Shell } from './shell.ts';

const importVerbs = () => import('../verbs/import.ts');

export function addImportVerbs({ verb, group }: Shell): void {
  const parent = group('import', 'jobs of another library, or rows of your own outbox, become messages');
  const pgBoss = verb(parent, {
    name: 'pg-boss',
    description: 'waiting jobs of pg-boss',
    load: async () => (await importVerbs()).importPgBoss,
  }).option('--from-schema <name>', 'where its tables are (default: pgboss)');
  importOptions(pgBoss.option('--failed', 'also those that it has given up'));
  const graphile = verb(parent, {
    name: 'graphile-worker',
    description: 'waiting jobs of Graphile Worker',
    load: async () => (await importVerbs()).importGraphileWorker,
  }).option('--from-schema <name>', 'where its tables are (default: graphile_worker)');
  importOptions(graphile.option('--failed', 'also those that it has given up'));
  const table = verb(parent, {
    name: 'table',
    description: 'rows of an outbox table of your own',
    load: async () => (await importVerbs()).importTable,
  })
    .argument('<table>', 'its name')
    .option('--from-schema <name>', 'where it is (default: public)')
    .option('--id <column>', 'unique, never null (default: id)')
    .option('--payload <column>', 'JSON, or a text that is JSON (default: payload)')
    .option('--name <column>', 'what kind of event a row is, for --topic (default: all bear the name of the table)')
    .option('--key <column>', 'messages of one key keep their order (default: none)')
    .option('--due <column>', 'not before this time (default: at once)')
    .option('--order <column>', 'rows are moved in this order (default: that of the id)')
    .option('--sent <column>', 'a time or boolean: rows without it are moved, and get it (default: rows are deleted)');
  importOptions(table);
}

function importOptions(command: Command): void {
  command
    .option(
      '--topic <name=topic>',
      'the topic of a queue, task or event; may be repeated',
      (each: string, before: readonly string[] | undefined) => [...(before ?? []), each],
    )
    .option('--same-names', 'names that no --topic has are topics themselves')
    .option('--map <file>', 'a module with a function that says topic, key and payload of each job')
    .option('--batch <n>', 'jobs per transaction (default: 200)')
    .option('--limit <n>', 'no more than so many')
    .option('--dry-run', 'only show what would become of them, also with --yes')
    .option('--yes', 'do it');
  addActOptions(command, 'optional');
}
