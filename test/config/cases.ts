// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
/** Mistakes, each with what is said of it: line, column, key, what is wrong, what is allowed. */

export const ROUTE = 'routes:\n  a:\n    target: http://127.0.0.1:3001/mcp\n'

export type Case = readonly [what: string, text: string, ...problems: (string | RegExp)[]]

export const SYNTAX: Case[] = [
  ['nothing at all', '', /^1:1: is empty; give an object with the keys .*routes/],
  ['only a comment', '# hello\n', /^1:1: is empty/],
  ['a list', '- a\n', /^1:1: is a list; give an object/],
  ['a word', 'catflap\n', /^1:1: is a single value; give an object/],
  ['a quote that does not end', 'routes:\n  a: "x\n', /^\d:\d+: Missing closing "quote/],
  ['a bracket that does not end', 'routes: [\n', /^2:1: /],
  ['a tab as indent', 'routes:\n\ta: 1\n', /^2:1: .*[Tt]ab/],
  ['two documents', `${ROUTE}---\n${ROUTE}`, /^4:1: a second document begins here/],
  ['a tag', 'routes: !!map\n  a: {}\n', /^2:3: routes: tags \(!…\) are not read here/],
  ['a tag of another kind', 'routes: !mine {}\n', /^1:\d+: /],
  ['an older YAML', `%YAML 1.1\n---\n${ROUTE}`, /^1:1: YAML 1\.1 is not read here; give YAML 1\.2/],
  ['a key twice', `${ROUTE}routes: {}\n`, /^4:1: routes: is given twice; the first is in line 1/],
  [
    'a key twice, deeper',
    'routes:\n  a:\n    target: http://a/\n    target: http://b/\n',
    /^4:5: routes\.a\.target: is given twice/
  ],
  ['a key twice in JSON', '{"via": "a",\n "via": "b"}', /^2:2: via: is given twice; the first is in line 1/],
  ['a key that is no name', '? [a]\n: b\n', /^1:3: a key is a plain name here/],
  ['an alias of nothing', 'routes: *a\n', /^1:9: routes: the alias \(\*…\) names nothing above it/],
  [
    'a secret that looks like an alias',
    'routes: { a: { target: http://a/, tokens: [*s3cr3t] } }\n',
    /^(?!.*s3cr3t).*alias/
  ],
  [
    'a secret that looks like a tag',
    'routes: { a: { target: http://a/, tokens: [!s3cr3t x] } }\n',
    /^(?!.*s3cr3t).*tag/
  ],
  [
    'a secret that looks like a tag with a handle',
    'routes: { a: { target: http://a/, tokens: [!x!s3cr3t y] } }\n',
    /^(?!.*s3cr3t).*/
  ],
  ['a secret that looks like a directive', `%s3cr3t\n---\n${ROUTE}`, /^(?!.*s3cr3t).*/],
  ['a secret that looks like a block', `${ROUTE}    tokens:\n      - |s3cr3t\n`, /^(?!.*s3cr3t).*/],
  ['a password without a scheme', 'routes: { a: { target: "bob:s3cr3t@host/" } }\n', /^(?!.*s3cr3t).*/],
  ['a password behind one slash', 'routes: { a: { target: "http:/bob:s3cr3t@host/" } }\n', /^(?!.*s3cr3t).*/],
  [
    'a header as a name',
    'routes: { a: { target: { url: http://a/, headers: { "Authorization Bearer s3cr3t": "" } } } }\n',
    /^(?!.*s3cr3t).*/
  ],
  ['a variable as a name', 'routes: { a: { command: [x], env: { "KEY=s3cr3t": "" } } }\n', /^(?!.*s3cr3t).*/],
  [
    'a header where its name belongs',
    'routes: { a: { target: http://a/, redactHeaders: ["X: s3cr3t"] } }\n',
    /^(?!.*s3cr3t).*/
  ],
  [
    'a password that ends a URL',
    'routes: { a: { target: "ftp://bob:pa/SS#s@host/" } }\n',
    /^(?!.*(?:SS|pa\/)).*ftp:\/\/…@host/
  ],
  ['an alias of itself', 'routes: &a\n  b: *a\n', /^2:6: routes\.b: the alias \(\*…\) stands within what it names/]
]

export const KEYS: Case[] = [
  ['no routes', 'via: a\n', '1:1: routes is missing'],
  ['no route', 'routes: {}\n', '1:1: routes: is empty; give at least one'],
  ['routes that are empty', 'routes:\n', /^1:1: routes: is empty; give names and routes/],
  ['an unknown key', `${ROUTE}colour: red\n`, /^4:1: colour: no such key; give one of listeners, routes, /],
  ['one that is nearly right', `${ROUTE}listners: []\n`, "4:1: listners: no such key; did you mean 'listeners'?"],
  ['one in another spelling', `${ROUTE}access-log: text\n`, "4:1: access-log: no such key; did you mean 'accessLog'?"],
  ['one of other programs', `${ROUTE}    url: x\n`, "4:5: routes.a.url: no such key; did you mean 'target'?"],
  [
    'a merge',
    `x: &x {}\n${ROUTE}<<: *x\n`,
    /^1:1: x: no such key/,
    /^5:1: \["<<"\]: no such key; did you mean 'defaults'\?/
  ],
  [
    'a setting in the wrong place',
    `${ROUTE}    maxBody: 1M\n`,
    "4:5: routes.a.maxBody: no such key; did you mean 'settings.maxBody'?"
  ],
  [
    'a setting that is about connections',
    `${ROUTE}    settings: { maxConnections: 5 }\n`,
    "4:17: routes.a.settings.maxConnections: no such key; did you mean 'listeners[].settings.maxConnections'?"
  ],
  [
    'a setting that is about routes',
    `listeners:\n  - address: 1\n    settings: { maxBody: 5 }\n${ROUTE}`,
    "3:17: listeners[0].settings.maxBody: no such key; did you mean 'routes.NAME.settings.maxBody'?"
  ],
  [
    'a name that is none',
    'routes:\n  My Server:\n    target: http://a/\n',
    /^2:3: routes\["My Server"\]: is no name that can stand here; give a name of at most 64/
  ],
  ['a name with power', 'routes:\n  __proto__:\n    target: http://a/\n', /^2:3: routes\.__proto__: is no name/],
  [
    'a key without a value',
    `${ROUTE}admin:\n`,
    /^4:1: admin: is empty; give an object with the keys address, token and allowHosts/
  ],
  ['a list in the place of an object', `${ROUTE}admin: []\n`, /^4:1: admin: is a list; give an object/],
  [
    'an object in the place of a list',
    `listeners: {}\n${ROUTE}`,
    /^1:1: listeners: is an object; give a list of listeners/
  ],
  ['a store by another name', `${ROUTE}redis: {}\n`, "4:1: redis: no such key; did you mean 'store'?"],
  [
    'a store with a slip',
    `${ROUTE}store: { url: redis://a, prefx: x }\n`,
    /^4:26: store\.prefx: no such key; did you mean 'prefix'/
  ],
  ['a store without an address', `${ROUTE}store: {}\n`, '4:1: store: url is missing'],
  [
    'a cluster without keys',
    `${ROUTE}store: { url: redis://a }\ncluster: { listen: 1 }\n`,
    '5:1: cluster: keys is missing'
  ],
  ['a part that is missing', `listeners:\n  - http2: true\n${ROUTE}`, '2:5: listeners[0]: address is missing']
]

const SECRET = 's3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr3t'
const KEY = 'a1'.repeat(32)

export const VALUES: Case[] = [
  [
    'no store',
    `${ROUTE}store: { url: http://u:s3cr3t@a }\n`,
    /^4:15: (?!.*s3cr3t)store\.url: .* is not allowed; give redis:/
  ],
  [
    'a store key that is none',
    `${ROUTE}store: { url: redis://a, keys: [s3cr3t] }\n`,
    /^4:33: (?!.*s3cr3t)store\.keys\[0\]: what is given here is not allowed; give 32 bytes, as 64 hex digits/
  ],
  [
    'a prefix with braces',
    `${ROUTE}store: { url: redis://a, prefix: 'a{b}' }\n`,
    /^4:34: store\.prefix: .*without blanks and braces/
  ],
  [
    'a lease that is too short',
    `${ROUTE}store: { url: redis://a, lease: 0.5 }\n`,
    /^4:33: store\.lease: '0\.5' .*1s to 10m/
  ],
  [
    'a wait that is too long',
    `${ROUTE}store: { url: redis://a, timeout: 100 }\n`,
    /^4:35: store\.timeout: .*10ms to 1m/
  ],
  [
    'no way to fail',
    `${ROUTE}store: { url: redis://a, failure: locl }\n`,
    /^4:35: store\.failure: .*did you mean 'local'/
  ],
  [
    'a cluster key that is too short',
    `${ROUTE}store: { url: redis://a }\ncluster: { listen: 1, keys: [s3cr3t] }\n`,
    /^5:30: (?!.*s3cr3t)cluster\.keys\[0\]: what is given here is not allowed; give a text of 32 characters/
  ],
  [
    'no address for others',
    `${ROUTE}store: { url: redis://a }\ncluster: { listen: 1, keys: [${SECRET}], address: here }\n`,
    /^5:\d+: cluster\.address: 'here' is not allowed; give an address like/
  ],
  [
    'no duration',
    `${ROUTE}drainTimeout: soon\n`,
    /^4:15: drainTimeout: 'soon' is not allowed; give a duration like 250ms/
  ],
  [
    'a duration that is 0',
    `${ROUTE}    settings: { sessionIdle: 0 }\n`,
    /^4:30: .*sessionIdle: '0' is not allowed; .*not 0/
  ],
  [
    'no size',
    `${ROUTE}    settings: { maxBody: huge }\n`,
    /^4:26: .*'huge' is not allowed; give a size like 4096, 64k/
  ],
  ['a negative size', `${ROUTE}    settings: { maxBody: -1 }\n`, /'-1' is not allowed; give a size/],
  ['no number', `${ROUTE}    settings: { maxSessions: 1.5 }\n`, /'1.5' is not allowed; give a whole number from 1/],
  ['infinity', `${ROUTE}    settings: { maxSessions: .inf }\n`, /'\.inf' is not allowed/],
  ['no choice', `${ROUTE}accessLog: yes\n`, "4:12: accessLog: 'yes' is not allowed; give one of text, json, off"],
  [
    'a choice that is nearly right',
    `${ROUTE}accessLog: jsn\n`,
    "4:12: accessLog: 'jsn' is not allowed; give one of text, json, off; did you mean 'json'?"
  ],
  [
    'no boolean',
    `${ROUTE}    allowUnauthenticated: yes\n`,
    "4:27: routes.a.allowUnauthenticated: 'yes' is not allowed; give true or false"
  ],
  [
    'a number for a text',
    `${ROUTE}admin: { token: 12345678 }\n`,
    /^4:17: admin\.token: is a number, not text; give .*in quotes/
  ],
  ['an empty token', `${ROUTE}admin: { token: '' }\n`, /^4:17: admin\.token: '' is not allowed; give a secret/],
  [
    'a token with blanks',
    `${ROUTE}admin: { token: 'a b' }\n`,
    /^4:17: admin\.token: what is given here is not allowed/
  ],
  [
    'no address',
    `listeners:\n  - address: here\n${ROUTE}`,
    /^2:14: listeners\[0\]\.address: 'here' is not allowed; give an address like 7890/
  ],
  ['no port', `listeners:\n  - address: 65536\n${ROUTE}`, /^2:14: .*'65536' is not allowed/],
  [
    'no URL',
    'routes:\n  a:\n    target: ftp://u:pass@h/\n',
    /^3:13: routes\.a\.target: 'ftp:\/\/…@h\/' is not allowed; give an http: or https: URL/
  ],
  ['no path', `${ROUTE}    path: mcp\n`, /^4:11: routes\.a\.path: 'mcp' is not allowed; give a path like \/mcp/],
  ['a path of HTTP+SSE', `${ROUTE}    path: /a/sse\n`, /^4:11: .*'\/a\/sse' is not allowed; .*HTTP\+SSE/],
  ['a path with dots', `${ROUTE}    path: /a/../b\n`, /^4:11: .* is not allowed/],
  ['a path with a query', `${ROUTE}    path: /a?b\n`, /^4:11: .* is not allowed/],
  ['no host', `${ROUTE}    host: http://x/\n`, /^4:11: routes\.a\.host: .* give a host name without scheme and port$/],
  ['no hosts', `${ROUTE}    allowHosts: [a, 'x:80']\n`, /^4:21: routes\.a\.allowHosts\[1\]: 'x:80' is not allowed/],
  [
    'no origin',
    `${ROUTE}    allowOrigins: [foo]\n`,
    /^4:20: routes\.a\.allowOrigins\[0\]: 'foo' .*https:\/\/app\.example/
  ],
  ['no name for Via', `${ROUTE}via: a b\n`, /^4:6: via: 'a b' is not allowed; give a name without blanks/],
  [
    'no pointer',
    `${ROUTE}    redactJson: [a/b]\n`,
    /^4:18: routes\.a\.redactJson\[0\]: 'a\/b' is not allowed; give a JSON pointer/
  ],
  [
    'no header',
    `${ROUTE}    headers: { request: { set: { 'a b': c } } }\n`,
    /^4:34: routes\.a\.headers\.request\.set\["a b"\]: is no name/
  ],
  [
    'two lines in a header',
    `${ROUTE}    headers: { request: { set: { a: "b\\nc" } } }\n`,
    /^4:37: .*set\.a: what is given here is not allowed; give one line/
  ],
  [
    'a weight of nothing',
    'routes:\n  a:\n    targets: [{ url: http://a/, weight: 0 }]\n',
    /^3:41: routes\.a\.targets\[0\]\.weight: '0' .*from 1 to 1000/
  ],
  ['no targets', 'routes:\n  a:\n    targets: []\n', '3:5: routes.a.targets: is empty; give at least one'],
  ['no words', 'routes:\n  a:\n    command: []\n', '3:5: routes.a.command: is empty; give at least one'],
  [
    'a command as a line',
    'routes:\n  a:\n    command: node server.js\n',
    /^3:14: routes\.a\.command: is a single value; give a list of words/
  ],
  [
    'a variable without a value',
    'routes:\n  a:\n    command: [node]\n    env:\n      A:\n',
    /^5:7: routes\.a\.env\.A: is empty; give text/
  ]
]

/** Of several keys of one object. */
export const TOGETHER: Case[] = [
  [
    'a route to nowhere',
    'routes:\n  a: {}\n',
    '2:3: routes.a: what it leads to is missing; give one of target, targets, command and tape'
  ],
  [
    'two ways',
    `${ROUTE}    command: [node]\n`,
    '4:5: routes.a.command: excludes target; give one of target, targets, command and tape'
  ],
  [
    'a tape and a target',
    `${ROUTE}    tape: a.tape.jsonl\n`,
    '4:5: routes.a.tape: excludes target; give one of target, targets, command and tape'
  ],
  ['a tape without files', 'routes: { a: { tape: { match: keyed } } }\n', /^1:\d+: routes\.a\.tape: files is missing/],
  [
    'a fault that is none',
    'routes: { a: { tape: { files: [a], faults: [drop:2] } } }\n',
    /^1:\d+: routes\.a\.tape\.faults\[0\]: 'drop:2' is not allowed; give a fault like drop:0\.1/
  ],
  [
    'the environment of a URL',
    `${ROUTE}    env: { A: b }\n    cwd: /\n`,
    '4:5: routes.a.env: goes with command, which is not there',
    '5:5: routes.a.cwd: goes with command, which is not there'
  ],
  [
    'the health of a command',
    'routes:\n  a:\n    command: [node]\n    health: {}\n    passthrough: [/x]\n',
    /^4:5: routes\.a\.health: goes with target or targets/,
    /^5:5: routes\.a\.passthrough: goes with/
  ],
  [
    'one target to balance',
    `${ROUTE}    balance: round-robin\n`,
    '4:5: routes.a.balance: goes with targets, which is not there'
  ]
]

/** What a JSON Schema cannot say. */
export const BEYOND: Case[] = [
  [
    'a store without its master',
    `${ROUTE}store: { url: 'redis+sentinel://a:1' }\n`,
    /^4:15: store\.url: is no address of a store; give .*the name of the master/
  ],
  [
    'a cluster without a store',
    `${ROUTE}cluster: { listen: 1, keys: [${SECRET}] }\n`,
    /^4:1: cluster: .*the store they share; give store as well/
  ],
  [
    'a cluster on all addresses',
    `${ROUTE}store: { url: redis://a }\ncluster: { listen: '0.0.0.0:1', keys: [${SECRET}] }\n`,
    /^5:20: cluster\.listen: is on all addresses.*; give cluster\.address as well/
  ],
  [
    'a cluster where others listen',
    `${ROUTE}store: { url: redis://a }\ncluster: { listen: 7890, keys: [${SECRET}] }\nlisteners: [{ address: 7890 }]\n`,
    /^5:20: cluster\.listen: listens where listeners\[0\] does; give another port/
  ],
  [
    'an authority without TLS',
    `${ROUTE}store: { url: redis://a, insecure: true }\n`,
    /^4:26: store\.insecure: goes with rediss:/
  ],
  [
    'two places for sessions',
    `${ROUTE}store: { url: redis://a }\nsessions: { store: memory }\n`,
    /^5:13: sessions\.store: says memory, and store says Redis; give one of the two/
  ],
  [
    'a header twice',
    `${ROUTE}    headers: { request: { set: { X-A: b, x-a: c } } }\n`,
    /^4:42: routes\.a\.headers\.request\.set\.x-a: is given twice, in another spelling/
  ],
  [
    'a port that looks like an address',
    `${ROUTE}    allowHosts: ['b:80']\n`,
    /^4:18: routes\.a\.allowHosts\[0\]: 'b:80' is not allowed/
  ],
  ['too long a duration', `${ROUTE}drainTimeout: 9999h\n`, /^4:15: drainTimeout: '9999h' .*at most 596h/],
  ['no IPv6', `listeners:\n  - address: '[::1::]:80'\n${ROUTE}`, /'\[::1::\]:80' is not allowed/],
  [
    'a password that cannot be read',
    'routes:\n  a:\n    target: http://u:p%zz@h/\n',
    /^3:13: .*holds a % that begins no escape; give %25/
  ],
  [
    'no network',
    `${ROUTE}trustedProxies: [10.0.0.0/33]\n`,
    /^4:18: trustedProxies\[0\]: '10\.0\.0\.0\/33' .*give an address/
  ],
  [
    'a header that is not for anybody',
    `${ROUTE}    headers: { request: { remove: [Mcp-Session-Id] }, response: { add: { Connection: x } } }\n`,
    /remove\[0\]: Mcp-Session-Id is catflap's own to set/,
    /add\.Connection: Connection is catflap's own to set/
  ],
  [
    'an empty program',
    "routes:\n  a:\n    command: ['', x]\n",
    /^3:15: routes\.a\.command\[0\]: is empty; give the program/
  ],
  [
    'a path for a ping',
    `${ROUTE}    health: { check: { kind: session, path: /x } }\n`,
    /^4:39: routes\.a\.health\.check\.path: goes with kind: http, not session/
  ],
  [
    'revisions that HTTP+SSE does not have',
    'routes:\n  a:\n    target: { url: http://a/, transport: sse, era: modern }\n',
    /^3:52: routes\.a\.target\.era: 'modern' does not go with transport: sse/
  ],
  [
    'one path for two',
    'routes:\n  a: { target: http://a/, path: /x/mcp }\n  x: { target: http://b/ }\n',
    /^3:3: routes\.x\.path: \/x\/mcp is the path of the route a already; give each route a path/
  ],
  [
    'one folder for two',
    'routes:\n  a: { target: http://a/, path: /x }\n  b: { target: http://b/, path: /x/mcp }\n',
    /^3:27: routes\.b\.path: \/x\/sse is where clients of HTTP\+SSE find the route a already; give paths in folders of their own, like \/b\/mcp/
  ],
  [
    'one other path for two',
    'routes:\n  a: { target: http://a/, passthrough: [/h] }\n  b: { target: http://b/, passthrough: [/h] }\n',
    /^3:41: routes\.b\.passthrough\[0\]: \/h leads to the route a already; give each path to one route/
  ],
  [
    'open to others',
    `listeners:\n  - address: 0.0.0.0:80\n${ROUTE}`,
    '4:3: routes.a: other machines can reach it (through 0.0.0.0); give tokens, or allowUnauthenticated: true if that is wanted'
  ],
  [
    'metrics open to others',
    `${ROUTE}metrics: { address: 0.0.0.0:80 }\n`,
    /^4:21: metrics\.address: other machines can reach it; give tokens/
  ],
  [
    'one address for two',
    `listeners:\n  - address: 80\n  - address: 127.0.0.1:80\n${ROUTE}admin: { address: 80 }\n`,
    /^3:14: listeners\[1\]\.address: listens where listeners\[0\] does; give another port/,
    /^7:19: admin\.address: listens where/
  ],
  [
    'one tape for two',
    'defaults: { record: a.jsonl }\nroutes:\n  a: { target: http://a/ }\n  b: { target: http://b/ }\n',
    /^4:3: routes\.b: would record to the same file as the route a; give a folder/
  ]
]

/** What only catflap knows when it runs. */
export const REFERENCES: Case[] = [
  [
    'a variable that is not set',
    `${ROUTE}admin: { token: '\${NO_SUCH}' }\n`,
    /^4:17: admin\.token: the variable NO_SUCH is not set; give it a value .* \$\{NO_SUCH:-default\}$/
  ],
  [
    'no variable',
    `${ROUTE}admin: { token: '\${a-b}' }\n`,
    /^4:17: admin\.token: '\$\{' begins no variable; give \$\{NAME\}/
  ],
  ['a variable that does not end', `${ROUTE}admin: { token: '\${AB' }\n`, /begins no variable/],
  [
    'a file that is not there',
    `${ROUTE}admin: { token: file:secret }\n`,
    /^4:17: admin\.token: the file .*nowhere.secret cannot be read: there is none$/
  ],
  ['no file', `${ROUTE}admin: { token: 'file:' }\n`, /^4:17: admin\.token: 'file:' names no file; give file:PATH/],
  [
    'a certificate that is not there',
    `listeners:\n  - address: 1\n    tls: { certificate: c, key: k }\n${ROUTE}`,
    /^3:25: listeners\[0\]\.tls\.certificate: the file .*c cannot be read/,
    /^3:33: listeners\[0\]\.tls\.key: the file/
  ],
  [
    'an environment that says something else',
    `${ROUTE}accessLog: \${FORMAT}\n`,
    "4:12: accessLog: '${FORMAT}' is not allowed; give one of text, json, off"
  ]
]

/** Files in which nothing is wrong. */
export const GOOD: readonly string[] = [
  ROUTE,
  'routes: { a: { targets: [http://a/, { url: https://b/, weight: 2 }], balance: least-in-flight } }',
  'routes: { a: { command: [node, server.js, 8080, true], env: { A: 1, B: true, C: x }, cwd: /, era: legacy, maxMemory: 1G } }',
  `${ROUTE}    path: /x/y\n    host: a.example\n    tokens: []\n    record: ./x/\n`,
  `${ROUTE}    record: { path: x, overflow: drop, maxMessage: 1M }\n    health: { failures: 0, check: { kind: discover } }\n`,
  'routes: { a: { tape: ./a.tape.jsonl }, b: { tape: { files: [b.tape.jsonl], speed: 2x, faults: [drop:0.1], seed: 7 } } }',
  'routes: { a: { tape: { files: [./x/], match: strict, repeat: error, onMiss: http://a/, record: true, speed: 0.5 } } }',
  `${ROUTE}    record: false\n    passthrough: [/, /*, /a/*, /.well-known/x]\n    redactJson: [/a/*/b~1c]\n`,
  `${ROUTE}    settings: { requestTimeout: 0, maxBody: 1.5M, sessionIdle: 0.5h, maxSessions: "12" }\n`,
  `${ROUTE}    allowHosts: ['*', '[::1]', '::1', a_b, 10.0.0.1]\n    allowOrigins: ['*', https://x.example:8443/, 'vscode-webview://a']\n`,
  `${ROUTE}    headers: { request: { remove: [A], set: { B: c }, add: { D: 1 } }, response: {} }\n`,
  `listeners: [{ address: 80 }, { address: '[::1]:0', http2: false }, { address: localhost:65535, settings: { keepAlive: 0 } }]\n${ROUTE}`,
  `defaults: { settings: { maxConnections: 1, maxBody: 1 }, tokens: ['\${T:-some}'], health: { ejection: 1.5 } }\n${ROUTE}`,
  `${ROUTE}via: false\ntrustedProxies: [10.0.0.0/8, '::1', fd00::/8]\ndrainTimeout: 0\naccessLog: off\nsessions: { store: memory }\n`,
  `${ROUTE}via: p.example:80\nmetrics: { address: 0, maxNames: 0 }\nadmin: {}\nlog: { level: silent, format: json }\n$schema: x\n`,
  `${ROUTE}store: { url: 'redis://:p%2Fw@a/3', keys: [${KEY}, '${Buffer.from(KEY, 'hex').toString('base64')}'], prefix: '', failure: local }\n`,
  `${ROUTE}store: { url: rediss://a, insecure: true, timeout: 0.25, lease: 5m }\ncluster: { listen: 1, keys: [${SECRET}] }\n`,
  `${ROUTE}store: { url: 'redis+cluster://a:1,b:2' }\ncluster: { listen: '0.0.0.0:0', address: 'a:80', keys: ['a phrase of several words, long enough'] }\n`,
  `${ROUTE}accessLog: '\${F:-json}'\ndrainTimeout: '\${D:-5s}'\nadmin: { address: '\${P:-0}' }\n`
]
