/**
 * One command to a Redis on this machine, without a client: what the starters of clusters need.
 */
import { connect } from 'node:net';

/** The answer as it came, in the text of the protocol (RESP2). Rejects with what Redis answers as an error, and when nothing comes in time. */
export function redisCommand(port: number, command: readonly string[], timeoutMs = 5_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const timer = setTimeout(() => end(new Error(`Redis on port ${port} does not answer ${command[0]}.`)), timeoutMs);
    let answer = '';
    const end = (error?: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      if (error !== undefined) reject(error);
      else if (answer.startsWith('-')) reject(new Error(`${command.slice(0, 2).join(' ')}: ${answer.slice(1).trim()}`));
      else
        resolve(
          answer
            .replace(/^\+/, '')
            .replace(/^\$\d+\r\n/, '')
            .trimEnd(),
        );
    };
    socket.once('error', end);
    socket.once('close', () => end(new Error(`Redis on port ${port} has closed the connection.`)));
    socket.on('data', (data) => {
      answer += data.toString();
      if (isWhole(answer)) end();
    });
    const parts = command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
    socket.write(`*${command.length}\r\n${parts.join('')}`);
  });
}

/** Of a simple answer or one text; an answer of several parts is whole for our purposes with its first line. */
function isWhole(answer: string): boolean {
  const bulk = /^\$(\d+)\r\n/.exec(answer);
  if (bulk === null) return answer.endsWith('\r\n');
  return Buffer.byteLength(answer) >= (bulk[0]?.length ?? 0) + Number(bulk[1]) + 2;
}
