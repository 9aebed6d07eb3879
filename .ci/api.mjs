/**
 * The public surface, one report for each entry point of the package: what `npm run api` writes into docs/api, to be read in reviews.
 *
 *   node .ci/api.mjs            writes the reports
 *   node .ci/api.mjs FOLDER     leaves docs/api alone. FOLDER gets the reports (reports/), the same as data (models/), and the package as
 *                               its users' compilers see it (package/, beside a node_modules/)
 *
 * The declarations are made anew from src. Fails for a type in a public signature that is not exported, and for a broken {@link}.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CompilerState, Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [given] = process.argv.slice(2);
const folder = given ?? mkdtempSync(join(tmpdir(), 'holdfast-api-'));
try {
  const faults = report(declarations(folder), folder);
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length === 0 ? 0 : 1;
  if (given === undefined) {
    mkdirSync(join(root, 'docs/api'), { recursive: true });
    for (const file of readdirSync(join(folder, 'reports'))) {
      copyFileSync(join(folder, 'reports', file), join(root, 'docs/api', file));
    }
  }
} finally {
  if (given === undefined) rmSync(folder, { recursive: true, force: true });
}

/** The package as it would be installed, without its code: package.json and the declarations. */
function declarations(into) {
  // Not below node_modules: what stands there is somebody else's to api-extractor.
  const pack = join(into, 'package');
  const installed = join(into, 'node_modules');
  for (const each of [pack, installed]) mkdirSync(each, { recursive: true });
  copyFileSync(join(root, 'package.json'), join(pack, 'package.json'));
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(installed, name), 'junction');
  }
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  // Types are checked by `npm run typecheck`; here they are only written down.
  const options = ['-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--noCheck'];
  const { status } = spawnSync(process.execPath, [tsc, ...options, '--outDir', join(pack, 'dist')], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new Error('The declarations could not be made; tsc says why above.');
  return pack;
}

/** Writes reports and models. Returns what must not be in a public surface, a line each. */
function report(pack, into) {
  const { exports } = JSON.parse(readFileSync(join(pack, 'package.json'), 'utf8'));
  const entries = Object.entries(exports).flatMap(([path, { types }]) =>
    types === undefined ? [] : [{ name: path === '.' ? 'index' : path.slice(2), file: join(pack, types) }],
  );
  const configs = entries.map((entry) => configOf(entry, pack, into));
  const [first, ...others] = configs;
  const compilerState = CompilerState.create(first, {
    additionalEntryPoints: others.map(({ mainEntryPointFilePath }) => mainEntryPointFilePath),
  });
  /** Of what subpaths leave out, an entry before them may have exported it: TypeScript then finds it there. */
  const exported = new Set();
  const faults = [];
  for (const folderName of ['reports', 'models']) mkdirSync(join(into, folderName), { recursive: true });
  for (const config of configs) {
    Extractor.invoke(config, {
      compilerState,
      localBuild: true,
      messageCallback(message) {
        message.handled = true;
        if (message.logLevel !== ExtractorLogLevel.Warning && message.logLevel !== ExtractorLogLevel.Error) return;
        if (message.messageId.startsWith('console-')) return;
        const symbol = /^The symbol "(\w+)" needs to be exported/.exec(message.text)?.[1];
        if (config !== first && exported.has(symbol)) return;
        const place = message.sourceFilePath?.replace(`${pack}/dist`, 'src').replace('.d.ts', '.ts');
        faults.push(`${place ?? config.apiReportFilePath}: ${message.text} (${message.messageId})`);
      },
    });
    const { members } = JSON.parse(readFileSync(config.apiJsonFilePath, 'utf8'));
    for (const { name } of members[0].members) exported.add(name);
  }
  return [...new Set(faults)];
}

function configOf({ name, file }, pack, into) {
  const packageJsonFullPath = join(pack, 'package.json');
  const none = { logLevel: ExtractorLogLevel.None };
  const warning = { logLevel: ExtractorLogLevel.Warning };
  return ExtractorConfig.prepare({
    packageJsonFullPath,
    configObjectFullPath: join(pack, `api-extractor.${name}.json`),
    configObject: {
      projectFolder: pack,
      mainEntryPointFilePath: file,
      newlineKind: 'lf',
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            target: 'es2022',
            lib: ['es2023'],
            module: 'nodenext',
            types: ['node'],
            strict: true,
            skipLibCheck: true,
          },
          files: [file],
        },
      },
      apiReport: {
        enabled: true,
        reportFileName: `${name}.api.md`,
        reportFolder: join(into, 'reports'),
        reportTempFolder: join(into, 'temp'),
      },
      docModel: {
        enabled: true,
        apiJsonFilePath: join(into, 'models', `${name}.api.json`),
        includeForgottenExports: false,
      },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: warning },
        extractorMessageReporting: {
          default: warning,
          'ae-missing-release-tag': none,
          // Documentation is checked by test/api, which says it in terms of what we ask for.
          'ae-undocumented': none,
        },
        // The docstrings are plain English with a few tags, not strict TSDoc.
        tsdocMessageReporting: { default: none },
      },
    },
  });
}
