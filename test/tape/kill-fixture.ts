import { TapeRecorder } from '../../src/tape/recorder.ts'
import { Redactor } from '../../src/tape/redact.ts'

// Records without end until it is killed; says on stdout, each time, up to which number everything was handed over, and when.
const recorder = await TapeRecorder.open({
  path: process.argv[2]!,
  target: { kind: 'stdio', argv: ['x'] },
  software: { name: 'catflap', version: '0' },
  redactor: new Redactor()
})
let id = 0
setInterval(() => {
  for (let i = 0; i < 50; i++) {
    const bytes = Buffer.from(`{"jsonrpc":"2.0","id":${++id},"method":"x"}`)
    recorder.frame({ time: performance.now(), side: 'client', dir: 'up', kind: 'message', bytes })
  }
  process.stdout.write(`${id} ${Date.now()}\n`)
}, 2)
