/**
 * The verbs that need neither configuration nor database, their flags and help: what makes a project, and what a shell is given.
 */
import { Argument } from 'commander';
import { BROKERS, FRAMEWORKS, ORMS } from '../init/parts.ts';
import { PACKAGE_MANAGERS } from '../init/detect.ts';
import { SHELLS } from '../completion/scripts.ts';
import type { Shell } from './shell.ts';

export function addInitVerb({ bare }: Shell, version: string): void {
  bare(
    { name: 'init', description: 'write a first project here: a saga, a consumer, a service and a test' },
    async (options) => (await import('../init/init.ts')).init({ ...options, folder: process.cwd(), version }),
  )
    .option('--framework <name>', `of the HTTP service: ${FRAMEWORKS.join(', ')}`)
    .option('--orm <name>', `how it speaks to PostgreSQL: ${ORMS.join(', ')}`)
    .option('--broker <name>', `what carries messages in production: ${BROKERS.join(', ')}`)
    .option('--package-manager <name>', `${PACKAGE_MANAGERS.join(', ')} (default: the one that is used here)`)
    .option('--yes', 'ask nothing: what is not given is taken from the project, or is the first of each list')
    .option('--force', 'replace files that differ, too')
    .option('--no-install', 'write the files, and install nothing')
    .option('--json', 'one JSON document on stdout, nothing else');
}

export function addCompletionVerb({ program, bare }: Shell): void {
  bare({ name: 'completion', description: 'verbs and flags for the TAB key of a shell' }, async ({ args }) =>
    (await import('../verbs/completion.ts')).completion(program, args),
  )
    .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
    .option('--json', 'one JSON document on stdout, nothing else');
}
