/**
 * `holdfast init`: writes a first project, or adds one to what is there. Nothing that exists is changed without being shown; a second run
 * changes nothing.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HoldfastError } from '../../errors.ts';
import { diffTexts, nearChanges } from '../../runtime/json-diff.ts';
import { visiblePage } from '../../runtime/terminal-text.ts';
import { didYouMean } from '../../runtime/options.ts';
import { formatDiff } from '../output/diff.ts';
import type { Ui, VerbReport } from '../output/report.ts';
import { createQuestions, type Questions } from './ask.ts';
import { detectChoices, detectPackageManager, PACKAGE_MANAGERS, type PackageManager, type ReadFile } from './detect.ts';
import { BROKERS, FRAMEWORKS, ORMS, partsOf, type ProjectChoices } from './parts.ts';
import { planProject, type PlannedFile } from './plan.ts';

export interface InitOptions {
  /** Absolute. */
  readonly folder: string;
  readonly flags: Readonly<Record<string, unknown>>;
  readonly json: boolean;
  readonly ui: Ui;
  /** Version of Holdfast. */
  readonly version: string;
}

interface Outcome {
  readonly choices: ProjectChoices;
  readonly packageManager: PackageManager;
  readonly written: readonly string[];
  /** There, different, and not touched. */
  readonly left: readonly string[];
  readonly installed: boolean;
}

/** Rejects with HF_CONFIG for what stands in the way. */
export async function init(options: InitOptions): Promise<VerbReport> {
  const { folder, flags, json } = options;
  const asker = createQuestions(flags['yes'] !== true && !json && process.stdin.isTTY && process.stdout.isTTY);
  try {
    const read: ReadFile = (path) => {
      const file = join(folder, path);
      return existsSync(file) ? readFileSync(file, 'utf8') : null;
    };
    refuseOtherConfig(read);
    const packageManager =
      oneOf(flags, 'packageManager', PACKAGE_MANAGERS) ??
      detectPackageManager((path) => existsSync(join(folder, path)), process.env['npm_config_user_agent']);
    const choices = await chooseParts(flags, detectChoices(read), asker);
    const name = nameOf(folder);
    const plan = planProject({ parts: partsOf(choices), read, name, holdfast: options.version });
    const { files, left } = await agree(plan, options, asker);
    for (const { path, after } of files) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), after);
    }
    const needed = files.some(({ path }) => path === 'package.json') || !existsSync(join(folder, 'node_modules'));
    const installed = needed && flags['install'] !== false;
    if (installed) await install(packageManager, folder);
    return report({ choices, packageManager, written: files.map(({ path }) => path), left, installed });
  } finally {
    asker.close();
  }
}

function refuseOtherConfig(read: ReadFile): void {
  const other = ['js', 'mjs', 'mts'].map((ending) => `holdfast.config.${ending}`).find((path) => read(path) !== null);
  if (other === undefined) return;
  throw new HoldfastError('HF_CONFIG', `This project has Holdfast already: there is ${other}.`, {
    advice: 'holdfast dev runs it. For a first project beside it, run init in another folder.',
  });
}

async function chooseParts(
  flags: InitOptions['flags'],
  found: Partial<ProjectChoices>,
  asker: Questions,
): Promise<ProjectChoices> {
  // One question after the other.
  const framework =
    oneOf(flags, 'framework', FRAMEWORKS) ??
    found.framework ??
    (await asker.choose('HTTP framework', FRAMEWORKS, 'none'));
  const orm = oneOf(flags, 'orm', ORMS) ?? found.orm ?? (await asker.choose('Access to PostgreSQL by', ORMS, 'pg'));
  const broker =
    oneOf(flags, 'broker', BROKERS) ??
    found.broker ??
    (await asker.choose('Messages in production by', BROKERS, 'postgres'));
  return { framework, orm, broker };
}

function oneOf<T extends string>(flags: InitOptions['flags'], name: string, choices: readonly T[]): T | undefined {
  const given = flags[name];
  if (typeof given !== 'string') return undefined;
  const found = choices.find((choice) => choice === given);
  if (found !== undefined) return found;
  const near = didYouMean(given, choices);
  const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new HoldfastError('HF_CONFIG', `${flag} is ${JSON.stringify(given)}.`, {
    advice: near === undefined ? `Give one of: ${choices.join(', ')}.` : `Did you mean '${near}'?`,
  });
}

/** As npm takes it. */
function nameOf(folder: string): string {
  const name = basename(folder)
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  return name === '' ? 'orders' : name;
}

interface Agreed {
  readonly files: readonly PlannedFile[];
  readonly left: readonly string[];
}

/** What is to be written: what is new, and of the rest what somebody said yes to. Rejects before anything is written. */
async function agree(
  plan: readonly PlannedFile[],
  { folder, flags, json, ui }: InitOptions,
  asker: Questions,
): Promise<Agreed> {
  const force = flags['force'] === true;
  const yes = flags['yes'] === true || force;
  const there = plan.filter(({ state }) => state === 'added to' || (state === 'differs' && (force || asker.isThere)));
  if (!force) refuseUncommitted(folder, there);
  const files = new Set(plan.filter(({ state }) => state === 'new'));
  for (const file of there) {
    if (!json) process.stdout.write(`${visiblePage(shownDiff(file, ui))}\n`);
    const agreed = yes && (file.state === 'added to' || force);
    // One question after the other.
    // oxlint-disable-next-line no-await-in-loop
    if (agreed || (await asker.confirm(`Change ${file.path}?`))) files.add(file);
    else if (!asker.isThere) {
      throw new HoldfastError('HF_CONFIG', `${file.path} is there, and would be changed; nothing was written.`, {
        advice: 'Give --yes to have it changed as shown.',
      });
    }
  }
  const left = plan.filter((file) => file.state !== 'same' && file.state !== 'theirs' && !files.has(file));
  return { files: plan.filter((file) => files.has(file)), left: left.map(({ path }) => path) };
}

function shownDiff({ path, before, after }: PlannedFile, { style }: Ui): string {
  const lines = nearChanges(diffTexts(before ?? '', after), 2).map(
    (line) => line ?? ({ sign: ' ', text: '…' } as const),
  );
  return `\n${style.bold(path)}\n${formatDiff(lines, style)}\n`;
}

/** What somebody is at work on in a file could not be told from what is added to it. */
function refuseUncommitted(folder: string, files: readonly PlannedFile[]): void {
  if (files.length === 0) return;
  const paths = files.map(({ path }) => path);
  const { status, stdout } = spawnSync('git', ['status', '--porcelain', '--', ...paths], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (status !== 0) return;
  const changed = stdout.split('\n').filter((line) => /^(?:.M|M.)/.test(line));
  if (changed.length === 0) return;
  throw new HoldfastError(
    'HF_CONFIG',
    `${changed.map((line) => line.slice(3)).join(', ')}: changed, and not committed.`,
    {
      advice: 'Commit or stash that first, so that you see what init adds; or give --force.',
    },
  );
}

async function install(manager: PackageManager, folder: string): Promise<void> {
  const code = await new Promise<number | null>((resolve) => {
    // Its words go to stderr: stdout is the report's.
    const child = spawn(manager, ['install'], {
      cwd: folder,
      stdio: ['ignore', 2, 2],
      shell: process.platform === 'win32',
    });
    child.once('error', () => resolve(null));
    child.once('close', resolve);
  });
  if (code === 0) return;
  throw new HoldfastError(
    'HF_CONFIG',
    `The files are written, and ${manager} install ${code === null ? 'is not there' : 'failed'}.`,
    {
      advice: `See what ${manager} says, and run ${manager} install again; a second holdfast init does no harm.`,
    },
  );
}

function report(outcome: Outcome): VerbReport {
  const { choices, packageManager, written, left, installed } = outcome;
  // What bun itself calls dev and test is something else.
  const run = packageManager === 'npm' || packageManager === 'bun' ? `${packageManager} run` : packageManager;
  return {
    json: { ...choices, packageManager, written, left, installed },
    text({ style }) {
      const order = `curl -X POST http://127.0.0.1:3000/orders -H 'content-type: application/json' -d`;
      return [
        ...(written.length === 0 ? ['Everything is there; nothing was changed.'] : []),
        ...written.map((path) => `  ${style.green('+')} ${path}`),
        ...left.map((path) => `  ${style.yellow('=')} ${path} ${style.dim('(yours, left as it is)')}`),
        '',
        ...(installed || written.length === 0 ? [] : [`  ${style.bold(`${packageManager} install`)}`]),
        `  ${style.bold(`${run} dev`)}    database, relay, worker, dashboard and the service, on this machine`,
        `  ${style.bold(`${run} test`)}   the saga, with a crash at every point`,
        '',
        '  An order, from another terminal:',
        `  ${order} '{"item":"chair","amount":42}'`,
        `  One that is refused, and compensated: ${style.bold('"amount":4200')}`,
      ].join('\n');
    },
  };
}
