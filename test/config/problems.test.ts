/** Each mistake is told with its place, its key, and what may stand there. */
import t from 'tap'
import { nearest } from '../../src/config/near.ts'
import { Findings } from '../../src/config/problems.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import * as cases from './cases.ts'
import { ROUTE } from './cases.ts'
import { folderOf, read, refused } from './fixtures.ts'

const { SYNTAX, KEYS, VALUES, TOGETHER, BEYOND, REFERENCES } = cases
for (const [group, all] of Object.entries({ SYNTAX, KEYS, VALUES, TOGETHER, BEYOND, REFERENCES })) {
  t.test(group.toLowerCase(), async t => {
    for (const [what, text, ...wanted] of all) {
      const found = await refused(text, { env: { FORMAT: 'very secret' } })
      t.equal(found.length, wanted.length, `${what}: ${found.join('\n')}`)
      for (const [i, one] of wanted.entries()) {
        if (typeof one === 'string') t.equal(found[i], one, what)
        else t.match(found[i], one, what)
      }
    }
  })
}

t.test('all problems are told at once, in the order of the file', async t => {
  const text = 'listeners:\n  - address: x\nroutes:\n  a: {}\n  b: { target: y }\nlog: { level: loud }\n'
  t.same(
    (await refused(text)).map(p => p.split(' ')[0]),
    ['2:14:', '4:3:', '5:16:', '6:15:']
  )
})

t.test('of very many, the first are told and the others counted', async t => {
  const routes = Array.from({ length: 300 }, (_, i) => `  r${i}: { target: x }\n`).join('')
  const { problems, left } = await read(`routes:\n${routes}`)
  t.equal(problems.length, 100)
  t.equal(left, 200)
  t.equal(problems.at(-1)!.path, 'routes.r99.target')
})

t.test('TLS files that hold something else, or do not fit each other', async t => {
  const key = SERVER_TLS.key
  const folder = folderOf(t, { 'ca.pem': CA, 'server.pem': SERVER_TLS.cert, 'server.key': key, other: 'no PEM' })
  const tls = (certificate: string, file: string) =>
    refused(`listeners:\n  - address: 1\n    tls: { certificate: ${certificate}, key: ${file} }\n${ROUTE}`, { folder })
  t.same(await tls('server.pem', 'server.key'), [])
  t.match(await tls('ca.pem', 'server.key'), [
    /^3:38: listeners\[0\]\.tls\.key: does not fit the certificate; give the key that/
  ])
  t.match(await tls('other', 'server.key'), [
    /^3:25: .*certificate: holds no certificate that can be read; give PEM text/
  ])
  t.match(await tls('server.pem', 'other'), [/^3:42: .*key: holds no private key that can be read; give PEM text/])
  t.match(await tls('.', 'server.key'), [/certificate: the file .* cannot be read: it is no file/])
})

t.test('the name that was meant', async t => {
  const known = ['listeners', 'routes', 'maxBody', 'requestTimeout']
  t.equal(nearest('listeners', known), 'listeners')
  t.equal(nearest('max-body', known), 'maxBody')
  t.equal(nearest('max_body', known), 'maxBody')
  t.equal(nearest('requestTimout', known), 'requestTimeout')
  t.equal(nearest('rotues', known), 'routes')
  t.equal(nearest('colour', known), undefined)
  t.equal(nearest('x'.repeat(10_000), known), undefined)
})

t.test('findings keep one of each, and no more than they may', async t => {
  const findings = new Findings('f')
  for (let i = 0; i < 3; i++) findings.add({ line: 1, column: 1 }, ['a'], { wrong: 'x' })
  t.equal(findings.problems.length, 1)
  t.ok(findings.under(['a']))
  t.notOk(findings.under(['b']))
  t.equal(findings.left, 0)
})
