/**
 * Starts a stand-in for a Kafka cluster, for tests: the mock cluster of librdkafka, which speaks the protocol over TCP and keeps topics in
 * memory. It has leaders and partitions, and can be told to fail; it has no disk, no replication and no rights. Gone when its standard input ends.
 *
 * Where it comes from, in this order: python3, librdkafka and kcat on the machine; apt, as root on Debian.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { HoldfastError } from '../errors.ts';
import { aptIsOurs, installByApt, systemBinary } from './debian-packages.ts';

/** A record, as kcat shows it. */
export interface StoredRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly payload: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface KafkaMock {
  readonly brokers: readonly string[];
  createTopic(name: string, partitions: number): Promise<void>;
  /** Every produce to the topic is answered with this code of the protocol; 0: no longer. */
  failTopic(name: string, code: number): Promise<void>;
  /** The next requests of one kind (0: produce) are answered with these codes. */
  failRequests(apiKey: number, codes: readonly number[]): Promise<void>;
  /** Closes the connections of a broker, from 1 on, and takes none; or takes them again. */
  setDown(broker: number, isDown: boolean): Promise<void>;
  /** All records of a topic, those of a partition in their order. */
  records(topic: string): Promise<readonly StoredRecord[]>;
  /** Holds it where it is (SIGSTOP), or lets it go on (SIGCONT). */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Ends it at once. */
  dispose(): Promise<void>;
}

const SCRIPT = `
import ctypes, ctypes.util, sys
lib = ctypes.CDLL(ctypes.util.find_library('rdkafka') or 'librdkafka.so.1')
P, S, I = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
def takes(name, *types):
    getattr(lib, name).argtypes = list(types)
    return getattr(lib, name)
lib.rd_kafka_conf_new.restype = lib.rd_kafka_new.restype = lib.rd_kafka_mock_cluster_new.restype = P
takes('rd_kafka_new', I, P, S, ctypes.c_size_t)
takes('rd_kafka_mock_cluster_new', P, I)
takes('rd_kafka_mock_cluster_bootstraps', P).restype = S
create = takes('rd_kafka_mock_topic_create', P, S, I, I)
fail_topic = takes('rd_kafka_mock_topic_set_error', P, S, I)
fail = takes('rd_kafka_mock_push_request_errors_array', P, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(I))
down = takes('rd_kafka_mock_broker_set_down', P, ctypes.c_int32)
up = takes('rd_kafka_mock_broker_set_up', P, ctypes.c_int32)
handle = lib.rd_kafka_new(0, lib.rd_kafka_conf_new(), ctypes.create_string_buffer(512), 512)
cluster = lib.rd_kafka_mock_cluster_new(handle, int(sys.argv[1]))
def say(text):
    sys.stdout.write(text + '\\n')
    sys.stdout.flush()
say(lib.rd_kafka_mock_cluster_bootstraps(cluster).decode())
for line in sys.stdin:
    what, *args = line.split()
    if what == 'topic': create(cluster, args[0].encode(), int(args[1]), 1)
    elif what == 'fail-topic': fail_topic(cluster, args[0].encode(), int(args[1]))
    elif what == 'fail': fail(cluster, int(args[0]), len(args) - 1, (I * (len(args) - 1))(*map(int, args[1:])))
    elif what == 'down': down(cluster, int(args[0]))
    elif what == 'up': up(cluster, int(args[0]))
    say('done')
`;

const PACKAGES = ['python3-minimal', 'librdkafka1', 'kcat'];
const FIND = "import ctypes.util, ctypes; ctypes.CDLL(ctypes.util.find_library('rdkafka') or 'librdkafka.so.1')";

/** HF_SERVER_MISSING when none can be found or started. */
export async function startKafkaMock({ brokers = 3 }: { readonly brokers?: number } = {}): Promise<KafkaMock> {
  const { python, kcat } = findPrograms();
  const child = spawn(python, ['-c', SCRIPT, String(brokers)], { stdio: ['pipe', 'pipe', 'ignore'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async (): Promise<string> => {
    const next = await lines.next();
    if (next.done === true) throw new HoldfastError('HF_SERVER_MISSING', 'The mock of Kafka has ended.');
    return next.value;
  };
  const bootstrap = await line();
  let last: Promise<unknown> = Promise.resolve();
  /** One after the other: answers come in the order of the commands. */
  const tell = (...words: readonly (string | number)[]): Promise<void> => {
    const told = last.then(async () => {
      child.stdin.write(`${words.join(' ')}\n`);
      await line();
    });
    last = told;
    return told;
  };
  return {
    brokers: bootstrap.split(','),
    createTopic: (name, partitions) => tell('topic', name, partitions),
    failTopic: (name, code) => tell('fail-topic', name, code),
    failRequests: (apiKey, codes) => tell('fail', apiKey, ...codes),
    setDown: (broker, isDown) => tell(isDown ? 'down' : 'up', broker),
    async records(topic) {
      const args = ['-C', '-b', bootstrap, '-t', topic, '-o', 'beginning', '-e', '-q', '-J'];
      const { stdout } = await promisify(execFile)(kcat, args, { maxBuffer: 256 * 1024 * 1024, timeout: 60_000 });
      return stdout.split('\n').flatMap((text) => (text === '' ? [] : [storedRecord(text)]));
    },
    signal: (signal) => void child.kill(signal),
    async dispose() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** Headers are a list of names and values, one after the other. */
function storedRecord(text: string): StoredRecord {
  const { headers = [], ...record } = JSON.parse(text) as Omit<StoredRecord, 'headers'> & {
    headers?: readonly string[];
  };
  const pairs = headers.flatMap((name, index) => (index % 2 === 0 ? [[name, headers[index + 1] ?? ''] as const] : []));
  return { ...record, headers: Object.fromEntries(pairs) };
}

function findPrograms(): { readonly python: string; readonly kcat: string } {
  const find = () => ({ python: systemBinary(['python3'], ['-c', FIND]), kcat: systemBinary(['kcat'], ['-V']) });
  let found = find();
  let cause: unknown;
  if ((found.python === undefined || found.kcat === undefined) && aptIsOurs()) {
    try {
      installByApt(PACKAGES);
    } catch (error) {
      cause = error;
    }
    found = find();
  }
  const { python, kcat } = found;
  if (python !== undefined && kcat !== undefined) return { python, kcat };
  throw new HoldfastError('HF_SERVER_MISSING', 'python3 with librdkafka, or kcat, cannot be found.', {
    advice: `Install them (Debian: apt-get install ${PACKAGES.join(' ')}).`,
    cause,
  });
}
