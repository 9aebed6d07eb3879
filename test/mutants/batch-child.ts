/**
 * The process of one batch: vitest with one worker, which runs the test files of the variants one after the other, and tells of each
 * when it begins and what became of it. Started by batch.ts, which ends it when it hangs.
 */
import { fileURLToPath } from 'node:url';
import { createVitest, type TestModule, type TestSpecification } from 'vitest/node';
import type { Trial } from './batches.ts';
import { resolveInVariant } from './variants.ts';

/** What is asked of this process. */
export interface BatchOrder {
  /** The folder of the variants. */
  readonly folder: string;
  /** The untouched project. */
  readonly project: string;
  readonly variants: readonly { readonly folder: string; readonly own: readonly string[] }[];
  /** Paths of test files in variants, in their order. */
  readonly tests: readonly string[];
  /** Whether they need the servers of global-setup.ts. */
  readonly servers: boolean;
}

/** What it tells. */
export type BatchNews = { readonly begins: string } | { readonly ended: string; readonly trial: Trial };

/** A test that waits so long says nothing here: a busy machine may be why. */
const TEST_TIMEOUT_MS = 30_000;

// Who has started this is gone.
process.once('disconnect', () => process.exit());
process.once('message', (order: BatchOrder) => {
  // Behind all that was told before.
  void runBatch(order).finally(() => process.send?.('over', () => process.exit()));
});

async function runBatch({ folder, project, variants, tests, servers }: BatchOrder): Promise<void> {
  const sets = variants.map((variant) => ({ folder: variant.folder, own: new Set(variant.own) }));
  const rank = new Map(tests.map((test, index) => [test, index]));
  const rankOf = (spec: TestSpecification): number => rank.get(spec.moduleId) ?? 0;
  const vitest = await createVitest(
    'test',
    {
      config: false,
      root: folder,
      watch: false,
      pool: 'forks',
      isolate: false,
      maxWorkers: 1,
      testTimeout: TEST_TIMEOUT_MS,
      hookTimeout: TEST_TIMEOUT_MS,
      teardownTimeout: 30_000,
      globalSetup: servers ? [pathOf('../support/global-setup.ts')] : [],
      setupFiles: [pathOf('first-failure.ts')],
      reporters: [
        {
          onTestModuleQueued: (module) => tell({ begins: module.moduleId }),
          onTestModuleEnd: (module) => tell({ ended: module.moduleId, trial: trialOf(module) }),
        },
      ],
      sequence: {
        sequencer: class {
          shard = async (specs: TestSpecification[]) => specs;
          sort = async (specs: TestSpecification[]) => specs.toSorted((a, b) => rankOf(a) - rankOf(b));
        },
      },
    },
    {
      plugins: [
        {
          name: 'variants',
          enforce: 'pre',
          resolveId: (specifier, importer) =>
            importer === undefined ? null : resolveInVariant(specifier, importer, project, sets),
        },
      ],
    },
  );
  await vitest.runTestSpecifications(tests.map((test) => vitest.getRootProject().createSpecification(test)));
  await vitest.close();
}

function pathOf(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function tell(news: BatchNews): void {
  process.send?.(news);
}

/** Only a test that has run and was not kept waiting has found something out. */
function trialOf(module: TestModule): Trial {
  if (module.state() === 'passed') return 'passed';
  const failed = [...module.children.allTests('failed')];
  const messages = failed.flatMap((test) => (test.result().errors ?? []).map(({ message }) => message));
  return messages.some((message) => !/ timed out in \d+ms/.test(message)) ? 'noticed' : 'unclear';
}
