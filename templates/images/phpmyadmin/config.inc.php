<?php
// Reads the variables of the phpmyadmin image: PMA_HOST(S), PMA_PORT(S), PMA_ARBITRARY, PMA_USER, PMA_PASSWORD.
declare(strict_types=1);

$read = static function (string $name): string {
    $file = getenv($name . '_FILE');
    return trim($file !== false && $file !== '' ? (string) file_get_contents($file) : (string) getenv($name));
};

$cfg['blowfish_secret'] = (string) file_get_contents('/run/phpmyadmin/secret');
$cfg['TempDir'] = '/var/lib/phpmyadmin/tmp';
$cfg['AllowArbitraryServer'] = $read('PMA_ARBITRARY') === '1';
$cfg['VersionCheck'] = false;
$cfg['SendErrorReports'] = 'never';
if ($read('PMA_ABSOLUTE_URI') !== '') {
    $cfg['PmaAbsoluteUri'] = $read('PMA_ABSOLUTE_URI');
}

$hosts = array_map('trim', explode(',', $read('PMA_HOSTS') ?: ($read('PMA_HOST') ?: 'db')));
$ports = array_map('trim', explode(',', $read('PMA_PORTS') ?: $read('PMA_PORT')));
foreach ($hosts as $index => $host) {
    $server = ['host' => $host, 'port' => $ports[$index] ?? '', 'auth_type' => 'cookie', 'AllowNoPassword' => true];
    if ($read('PMA_USER') !== '') {
        $server['auth_type'] = 'config';
        $server['user'] = $read('PMA_USER');
        $server['password'] = $read('PMA_PASSWORD');
    }
    $cfg['Servers'][$index + 1] = $server;
}
