<?php
// Adminer with ADMINER_DEFAULT_SERVER where its form asks for a server.
function adminer_object() {
    class_exists('Adminer\Adminer') || class_alias('Adminer', 'Adminer\Adminer');
    return new class extends Adminer\Adminer {
        function loginFormField($name, $heading, $value) {
            $server = htmlspecialchars((string) getenv('ADMINER_DEFAULT_SERVER'), ENT_QUOTES);
            $value = str_replace('name="auth[server]" value=""', "name=\"auth[server]\" value=\"$server\"", $value);
            return parent::loginFormField($name, $heading, $value);
        }
    };
}
include '/usr/share/adminer/adminer.php';
