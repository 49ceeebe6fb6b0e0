import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer, get } from 'node:https'
import path from 'node:path'
import t, { type Test } from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { skipWithout } from '../helpers/require.ts'
import { waitFor } from '../helpers/wait.ts'
import { listen } from '../proxy/passthrough-door.ts'
import { type Config, checkConfig, DEPLOY, read, skipWithoutCommand, tempFolder, yaml } from './example.ts'

const SCRIPT = path.join(DEPLOY, 'tls/make-certificates.sh')
const skip = process.platform === 'win32' ? 'a script of the shell' : skipWithout('openssl', ['version'])

function make(...args: string[]): { status: number | null; stderr: string; stdout: string } {
  return spawnSync('sh', [SCRIPT, ...args], { encoding: 'utf8' })
}

function made(t: Test, ...names: string[]): (file: string) => string {
  const folder = path.join(tempFolder(t), 'tls')
  const { status, stderr } = make(folder, ...names)
  t.equal(status, 0, stderr)
  return file => path.join(folder, file)
}

t.test('an authority, a server and a client that it has signed', { skip }, async t => {
  const file = made(t, 'mcp.internal', 'localhost', '127.0.0.1', '::1')
  t.same(readdirSync(path.dirname(file('x'))).toSorted(), [
    'ca.key',
    'ca.pem',
    'client.key',
    'client.pem',
    'server.key',
    'server.pem'
  ])
  for (const name of ['ca', 'server', 'client']) {
    t.equal(statSync(file(`${name}.key`)).mode & 0o077, 0, 'keys are for their owner alone')
    const certificate = new X509Certificate(readFileSync(file(`${name}.pem`)))
    t.equal(certificate.ca, name === 'ca')
    const verify = spawnSync('openssl', ['verify', '-x509_strict', '-CAfile', file('ca.pem'), file(`${name}.pem`)], {
      encoding: 'utf8'
    })
    t.equal(verify.status, 0, verify.stdout + verify.stderr)
  }
  const server = new X509Certificate(readFileSync(file('server.pem')))
  t.match(
    server.subjectAltName,
    /^DNS:mcp\.internal, DNS:localhost, IP Address:127\.0\.0\.1, IP Address:0:0:0:0:0:0:0:1$/
  )
})

t.test('they serve: a client with its certificate comes in, one without does not', { skip }, async t => {
  trackLeaks(t)
  const file = made(t, 'localhost')
  const pem = (name: string): string => readFileSync(file(name), 'utf8')
  const port = await listen(
    t,
    createServer(
      {
        cert: pem('server.pem'),
        key: pem('server.key'),
        ca: pem('ca.pem'),
        requestCert: true,
        rejectUnauthorized: true
      },
      (_, res) => res.end('in')
    )
  )
  const ask = async (own: object): Promise<number | undefined> => {
    const req = get({ host: 'localhost', port, ca: pem('ca.pem'), agent: false, ...own })
    const [res] = (await waitFor(req, 'response')) as [import('node:http').IncomingMessage]
    res.resume()
    await waitFor(res, 'close')
    return res.statusCode
  }
  t.equal(await ask({ cert: pem('client.pem'), key: pem('client.key') }), 200)
  await t.rejects(ask({}))
  await t.rejects(ask({ cert: pem('client.pem'), key: pem('client.key'), ca: undefined }), 'nobody else trusts it')
})

t.test('it says how it is used, and overwrites no authority', { skip }, async t => {
  const usage = make()
  t.equal(usage.status, 2)
  t.match(usage.stderr, /make-certificates\.sh FOLDER NAME/)
  const folder = path.dirname(made(t, 'localhost')('x'))
  const before = readFileSync(path.join(folder, 'ca.key'), 'utf8')
  const again = make(folder, 'localhost')
  t.equal(again.status, 1)
  t.match(again.stderr, /ca\.key exists/)
  t.equal(readFileSync(path.join(folder, 'ca.key'), 'utf8'), before)
})

t.test('the file names what is made', { skip }, async t => {
  const file = made(t, 'localhost')
  const { tls } = (yaml('tls/catflap.yaml') as Config).listeners[0]!
  for (const name of Object.values(tls!)) t.ok(statSync(file(path.basename(name))))
  t.same(Object.keys(tls!), ['certificate', 'key', 'clientCa'])
})

t.test('the file is one that catflap takes', { skip: skip || skipWithoutCommand('config') }, async t => {
  const file = made(t, 'localhost')
  await checkConfig(
    t,
    read('tls/catflap.yaml').replace(/: tls\/(\S+)/g, (_, name: string) => `: ${file(name)}`)
  )
})
