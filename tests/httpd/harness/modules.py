"""Modules that a test builds for itself."""
import subprocess

APR = ("-I/usr/include/apache2", "-I/usr/include/apr-1.0", "-D_GNU_SOURCE", "-D_LARGEFILE64_SOURCE")

MODULE = """
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <stdlib.h>
#include <unistd.h>
{declarations}
static void hooks(apr_pool_t *p) {{ {hooks} }}
AP_DECLARE_MODULE({name}) = {{STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, hooks}};
"""


def _compile(*arguments):
    done = subprocess.run(["gcc", "-shared", "-fPIC", "-O1", *map(str, arguments)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def build_module(folder, name, declarations="", hooks="", link=()):
    """Build FOLDER/mod_NAME.so; gives its LoadModule line."""
    source, module = folder / f"mod_{name}.c", folder / f"mod_{name}.so"
    source.write_text(MODULE.format(name=name, declarations=declarations, hooks=hooks))
    _compile(*APR, "-o", module, source, *link)
    return f"LoadModule {name}_module {module}"


def build_library(folder, name="pmprivate"):
    """Build FOLDER/libNAME.so with a function NAME_call."""
    source, library = folder / f"{name}.c", folder / f"lib{name}.so"
    source.write_text(f"int {name}_call(void) {{ return 1; }}\n")
    _compile("-o", library, f"-Wl,-soname,lib{name}.so", source)
    return library


def build_module_with_library(folder):
    """A module with a private library; gives the library and the LoadModule line."""
    library = build_library(folder)
    line = build_module(folder, "needy", "int pmprivate_call(void);", "pmprivate_call();",
                        [library, f"-Wl,-rpath,{folder}"])
    return library, line
