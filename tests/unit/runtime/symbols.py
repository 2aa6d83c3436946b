#!/usr/bin/env python3
"""Checks that static libraries need nothing of the C++ library and have no static constructors."""
import re
import shutil
import subprocess
import sys

CXX_LIBRARY = re.compile(r"^(_ZSt|_ZNSt|_ZNKSt|_ZN9__gnu|__cxa_|__gxx_|_Znw|_Zna|_Zdl|_Zda|_ZTV|_Unwind)")


def tool(name):
    for candidate in (name, f"llvm-{name}", f"llvm-{name}-22"):
        if shutil.which(candidate):
            return candidate
    raise SystemExit(f"symbols.py: no {name}")


def main(archives):
    defined, needed, problems = set(), {}, []
    for archive in archives:
        listing = subprocess.run([tool("nm"), archive], check=True, capture_output=True, text=True).stdout
        for line in listing.splitlines():
            fields = line.split()
            if len(fields) == 2 and fields[0] in "Uw":
                needed.setdefault(fields[1], archive)
            elif len(fields) == 3:
                defined.add(fields[2])
        sections = subprocess.run([tool("readelf"), "-SW", archive], check=True, capture_output=True, text=True).stdout
        if re.search(r"\.(init_array|ctors)", sections):
            problems.append(f"{archive} has static constructors")
    for name, archive in sorted(needed.items()):
        if name not in defined and CXX_LIBRARY.match(name) and name != "__cxa_finalize":
            problems.append(f"{archive} needs {name}")
    sanitized = any(name.startswith("__asan") for name in needed)
    if sanitized:
        print("built with sanitizers, which have constructors: not checked")
        return 0
    print("\n".join(problems) or f"{len(needed)} undefined names, none of the C++ library")
    return 1 if problems or not needed else 0


sys.exit(main(sys.argv[1:]))
