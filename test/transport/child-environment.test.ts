import t from 'tap'
import { shortEnvironment, withoutOwn } from '../../src/transport/upstream/child-environment.ts'

const ENV = {
  PATH: '/bin',
  HOME: '/home/ann',
  LC_ALL: 'C',
  TMPDIR: '/tmp',
  AWS_SECRET_ACCESS_KEY: 's',
  CATFLAP_TOKEN: 't',
  SHELL: '() { evil; }',
  MINE: 'm'
}

t.test('a command on a route gets what programs need, and what is named', async t => {
  t.same(shortEnvironment(ENV, [], 'linux'), { PATH: '/bin', HOME: '/home/ann', LC_ALL: 'C', TMPDIR: '/tmp' })
  t.match(shortEnvironment(ENV, ['MINE', 'ABSENT'], 'linux'), { PATH: '/bin', MINE: 'm' })
  t.notOk('ABSENT' in shortEnvironment(ENV, ['ABSENT'], 'linux'))
  t.match(shortEnvironment(ENV, ['SHELL'], 'linux'), { SHELL: '() { evil; }' }, 'who asks for it gets it')
})

t.test('names on Windows have no case', async t => {
  const env = { Path: 'C:\\', SystemRoot: 'C:\\Windows', ComSpec: 'cmd.exe', PATHEXT: '.EXE', Mine: 'm', Other: 'o' }
  const { Other: _, ...kept } = env
  t.same(shortEnvironment(env, ['MINE'], 'win32'), kept)
  t.same(shortEnvironment(env, ['MINE'], 'linux'), {})
})

t.test('elsewhere it gets all but what is ours', async t => {
  const { CATFLAP_TOKEN: _, ...rest } = ENV
  t.same(withoutOwn(ENV), rest)
})
