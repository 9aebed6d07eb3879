/**
 * What will hurt, and what to do about it.
 */
import type { VNode } from 'preact';
import { useLoaded } from '../app/load.ts';
import { several } from '../app/texts.ts';
import type { WireDiagnosis } from '../app/wire.ts';
import { CommandText } from '../parts/copy.tsx';
import { Shape } from '../parts/marks.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';
import type { ShapeName } from '../app/story.ts';

type Finding = WireDiagnosis['findings'][number];

const LOOKS: Readonly<Record<Finding['level'], readonly [tone: string, shape: ShapeName, word: string]>> = {
  error: ['bad', 'square', 'error'],
  warn: ['warn', 'triangle', 'warning'],
  note: ['wait', 'ring', 'note'],
};

export function DoctorScreen(): VNode {
  const loaded = useLoaded<WireDiagnosis>('doctor', {}, { every: 60_000 });
  return (
    <Screen
      title="Doctor"
      aside={
        <button type="button" class="button" onClick={loaded.reload}>
          Look again
        </button>
      }
    >
      <Answered loaded={loaded}>
        {({ findings, checks }) => (
          <>
            {findings.length === 0 ? (
              <EmptyNote>Nothing will hurt, as far as {several(checks.length, 'check')} can tell.</EmptyNote>
            ) : (
              <ul class="findings">
                {findings.map((finding) => (
                  <OneFinding key={`${finding.check} ${finding.what}`} finding={finding} />
                ))}
              </ul>
            )}
            <p class="quiet">Checked: {checks.join(', ')}.</p>
          </>
        )}
      </Answered>
      <p class="quiet">From the command line:</p>
      <CommandText command="holdfast doctor" />
    </Screen>
  );
}

function OneFinding({ finding }: { readonly finding: Finding }): VNode {
  const { level, check, what, why, advice, repair } = finding;
  const [tone, shape, word] = LOOKS[level];
  return (
    <li class={`note ${tone}`}>
      <Shape name={shape} />
      <div>
        <p>
          <b>
            <Plain text={what} />
          </b>
        </p>
        <p>
          <Plain text={why} />
        </p>
        <p>
          <Plain text={advice} />
        </p>
        {repair === null ? null : <CommandText command={repair} />}
        <p class="quiet">
          {word} · {check}
        </p>
      </div>
    </li>
  );
}
